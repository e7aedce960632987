import ForjaCore

/// The value of `--device`: `auto`, `cpu`, `opencl` or `opencl:N`.
public enum DeviceSelection: Hashable, Sendable {
    /// An OpenCL GPU if there is one, else the CPU through BLAS.
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
    /// - Returns: The device, and for `automatic` without a GPU one line saying that the CPU takes over.
    public func open(threadCount: Int = 0) throws(ForjaError) -> (device: Device, note: String?) {
        switch self {
        case .host:
            return (try Device.host(threadCount: threadCount), nil)
        case .openCLIndex(let index):
            return (try Device.openCL(index), nil)
        case .automatic:
            let devices = Device.openCLDevices()
            if let index = devices.firstIndex(where: { $0.kind == .openCLGPU }) {
                return (try Device.openCL(index), nil)
            }
            let found = devices.isEmpty ? Device.openCLStatus : "no OpenCL GPU"
            return (
                try Device.host(threadCount: threadCount),
                "\(found); the CPU takes over through BLAS"
            )
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
}
