import ForjaRuntime
import Foundation

/// Memory of this process that is in RAM, code and mapped files included: what `time -v` and a cgroup count.
enum ResidentMemory {
    /// The most so far, in bytes.
    static var peak: Int {
        var usage = rusage()
        #if os(Linux)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss * 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }

    /// The most that counts for a device: this process where it uses the host's memory, else the device's buffers.
    static func peak(with device: Device) -> Int {
        device.description.sharesHostMemory ? peak : device.peakAllocatedBytes
    }

    /// Now, in bytes; the peak where the system does not say.
    static var now: Int {
        // Fields of statm are counts of pages; resident is the second.
        guard let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .ascii),
            let pages = statm.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return peak }
        return pages * Int(getpagesize())
    }
}
