import ArgumentParser
import ForjaCore
import ForjaRuntime

/// Options of every command that computes.
struct ComputeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where to compute: auto, cpu, opencl or opencl:N as forja devices lists.",
            discussion: "auto takes the first OpenCL GPU that opens, else the CPU."))
    var device = DeviceSelection.automatic

    @Option(
        help: "CPU threads; 0 takes every core in the affinity mask. Results do not depend on it.")
    var threads = 0

    func validate() throws {
        guard threads >= 0 else { throw ValidationError("--threads is \(threads); use 0 or more") }
    }

    /// Opens the device and says in one line what an automatic choice came to.
    func open() throws(ForjaError) -> Queue {
        let (opened, note) = try device.open(threadCount: threads)
        if let note { Console.note("device: \(note)") }
        return try Queue(device: opened)
    }
}

extension DeviceSelection: ExpressibleByArgument {
    public init?(argument: String) {
        guard let selection = try? DeviceSelection(parsing: argument) else { return nil }
        self = selection
    }

    public var defaultValueDescription: String {
        switch self {
        case .automatic: "auto"
        case .host: "cpu"
        case .openCL: "opencl"
        case .openCLIndex(let index): "opencl:\(index)"
        }
    }
}

/// `--dtype` of commands that read a model: the type it computes in, whatever the checkpoint's.
enum ComputeType: String, ExpressibleByArgument, CaseIterable {
    case f32, bf16

    var dtype: DType { self == .f32 ? .float32 : .bfloat16 }
}
