import ForjaRuntime
import Foundation

/// Memory of this process that is in RAM, code and mapped files included: what `time -v` and a cgroup count.
enum ResidentMemory {
    /// The most so far, in bytes.
    static var peak: Int { linuxStatus("VmHWM") ?? peakOfUsage }

    /// Now, in bytes; the peak where the system does not say.
    static var now: Int { linuxStatus("VmRSS") ?? peak }

    /// The most that counts for a device: this process where it uses the host's memory, else the device's buffers.
    static func peak(with device: Device) -> Int {
        device.description.sharesHostMemory ? peak : device.peakAllocatedBytes
    }

    /// The same for the devices of several ranks.
    static func peak(with devices: [Device]) -> Int {
        devices[0].description.sharesHostMemory
            ? peak : devices.reduce(0) { $0 + $1.peakAllocatedBytes }
    }

    /// A line of /proc/self/status in bytes; it holds kB. `nil` where there is no such file.
    private static func linuxStatus(_ name: String) -> Int? {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else {
            return nil
        }
        let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first
            .flatMap { Int($0) }.map { $0 * 1024 }
    }

    /// Only where the above is missing: Linux's ru_maxrss outlives exec, so it starts at the parent's own memory.
    private static var peakOfUsage: Int {
        var usage = rusage()
        #if os(Linux)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss * 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }
}
