import ForjaCore

/// The value of `--device`: `auto`, `cpu`, `opencl` or `opencl:N`.
public enum DeviceSelection: Hashable, Sendable {
    /// The first OpenCL GPU that opens, else the host CPU.
    case automatic
    case host
    /// The first OpenCL GPU, else the first OpenCL CPU device.
    case openCL
    /// OpenCL device N as `forja devices` lists.
    case openCLIndex(Int)

    public init(parsing text: String) throws(ForjaError) {
        switch text {
        case "auto": self = .automatic
        case "cpu": self = .host
        case "opencl": self = .openCL
        default:
            guard text.hasPrefix("opencl:"), let index = Int(text.dropFirst(7)), index >= 0 else {
                throw ForjaError(
                    .invalidInput, "\"\(text)\" is not a device",
                    fix: "use auto, cpu, opencl or opencl:N (see forja devices)")
            }
            self = .openCLIndex(index)
        }
    }

    /// Opens the device.
    ///
    /// - Parameter threadCount: For the host CPU; 0 takes every core in the affinity mask.
    /// - Returns: The device, and for `automatic` one line saying why a GPU was passed over, if one was or there is none.
    public func open(threadCount: Int = 0) throws(ForjaError) -> (device: Device, note: String?) {
        switch self {
        case .host:
            return (try Device.host(threadCount: threadCount), nil)
        case .openCLIndex(let index):
            return (try Device.openCL(index), nil)
        case .automatic:
            return try Self.automatic(
                among: Device.openCLDevices(),
                openCL: { index throws(ForjaError) in try Device.openCL(index) },
                host: { () throws(ForjaError) in try Device.host(threadCount: threadCount) })
        case .openCL:
            let devices = Device.openCLDevices()
            let index =
                devices.firstIndex { $0.kind == .openCLGPU }
                ?? devices.firstIndex { $0.kind == .openCLCPU } ?? devices.indices.first
            guard let index else {
                throw ForjaError(
                    .unavailable, "no OpenCL device: \(Device.openCLStatus)",
                    fix: "use --device cpu, or make a device visible (docs/devices.md)")
            }
            return (try Device.openCL(index), nil)
        }
    }

    /// The first GPU that opens, else the host: a driver that lists a device it cannot open stops nobody.
    package static func automatic(
        among devices: [Device.Description],
        openCL: (Int) throws(ForjaError) -> Device, host: () throws(ForjaError) -> Device
    ) throws(ForjaError) -> (device: Device, note: String?) {
        var failures: [String] = []
        for (index, device) in devices.enumerated() where device.kind == .openCLGPU {
            do throws(ForjaError) {
                let opened = try openCL(index)
                return (opened, failures.isEmpty ? nil : failures.joined(separator: "; "))
            } catch {
                failures.append("opencl:\(index) cannot be opened: \(error.message)")
            }
        }
        if failures.isEmpty {
            failures = [devices.isEmpty ? Device.openCLStatus : "no OpenCL GPU"]
        }
        return (try host(), failures.joined(separator: "; ") + "; the CPU takes over")
    }
}
