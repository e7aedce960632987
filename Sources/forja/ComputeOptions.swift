import ArgumentParser
import ForjaCore
import ForjaParallel
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
        try checkRange("--threads", threads, 0...65_536)
    }

    /// Opens the device with the tuning known for it, and says in one line what an automatic choice came to.
    func open() throws(ForjaError) -> Queue {
        let (opened, note) = try device.open(threadCount: threads)
        if let note { Console.note("device: \(note)") }
        if let note = try opened.takeKnownTuning() { Console.note(note) }
        return try Queue(device: opened)
    }

    /// As `open`, a device for each of several ranks; under a launcher, one for the rank that this process is.
    func open(rankCount: Int, on processes: MPIRun?) throws(ForjaError) -> [Device] {
        let (devices, note) =
            if let processes {
                try device.open(
                    rank: processes.hostRank, of: processes.hostRankCount,
                    threadCount: threads > 0 ? threads : processes.threadCount)
            } else {
                try device.open(rankCount: rankCount, threadCount: threads)
            }
        if let note { Console.note("device: \(note)") }
        for (rank, device) in devices.enumerated() {
            let note = try device.takeKnownTuning()
            if rank == 0, let note { Console.note(note) }
        }
        return devices
    }
}

/// Most tokens, sequences or texts of one request: more passes every device, and products of a few such numbers stay
/// far inside 64 bits.
let mostAtOnce = 1 << 24

/// Refuses an option's number outside its range, as wrong usage.
func checkRange(_ option: String, _ value: Int, _ range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
        throw ValidationError(
            "\(option) is \(value); use \(range.lowerBound) ... \(range.upperBound)")
    }
}

extension DeviceSelection: ExpressibleByArgument {
    public init?(argument: String) {
        guard let selection = try? DeviceSelection(parsing: argument) else { return nil }
        self = selection
    }

    public var defaultValueDescription: String { argument }

    /// What `--device` takes for it.
    var argument: String {
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
