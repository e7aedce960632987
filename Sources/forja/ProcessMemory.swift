import ArgumentParser
import ForjaCore
import ForjaData
import ForjaRuntime
import ForjaTraining
import Foundation

/// What a training process holds beside the engine's buffers, on a device that uses the host's memory.
///
/// No sum of sizes gives it: it is program, libraries, threads and, on an OpenCL CPU runtime, the runtime's own
/// compiler and the kernels it has loaded. So it is measured: a child process rehearses a run (`Rehearsal`) and says
/// what it came to. Kernels decide it twice: a process that finds them in the cache stays smaller than one that
/// compiles them. The first child gets empty kernel caches, the second those that the first left.
struct ProcessMemory: Codable {
    /// With every kernel taken from the cache.
    var bytes: Int
    /// How much more when kernels are compiled, as in the first run on a device; 0 on the host CPU.
    var compilerBytes: Int

    /// What was measured for the same program, device and kernels before, else measures now: a fraction of a second
    /// on the host, as long as compiling takes on OpenCL.
    ///
    /// - Throws: `.unavailable` with the child's words when it fails.
    static func measured(
        for rehearsal: Rehearsal, device: Device, options: ComputeOptions
    ) throws -> ProcessMemory {
        let description = device.description
        guard description.sharesHostMemory else { return ProcessMemory(bytes: 0, compilerBytes: 0) }
        let program = try program()
        let built = try? FileManager.default.attributesOfItem(atPath: program)[.modificationDate]
        let path = try TokenShardCache().path(
            of: "process", suffix: "json",
            key: [
                "1", "\(built as? Date ?? .distantPast)", "\(rehearsal)", description.name,
                description.platform, description.driver, "\(description.threadCount)",
            ])
        if let data = FileManager.default.contents(atPath: path),
            let known = try? JSONDecoder().decode(ProcessMemory.self, from: data)
        {
            return known
        }
        let memory = try measure(
            program, arguments: RehearseCommand.arguments(for: rehearsal, options: options),
            compiles: description.kind != .host)
        try JSONEncoder().encode(memory).write(to: URL(fileURLWithPath: path), options: .atomic)
        return memory
    }

    private static func measure(
        _ program: String, arguments: [String], compiles: Bool
    ) throws -> ProcessMemory {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("forja-rehearsal-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try rehearse(program, arguments, in: directory)
        guard compiles else { return ProcessMemory(bytes: first, compilerBytes: 0) }
        let second = try rehearse(program, arguments, in: directory)
        return ProcessMemory(bytes: second, compilerBytes: max(first - second, 0))
    }

    private static func rehearse(
        _ program: String, _ arguments: [String], in directory: String
    ) throws -> Int {
        let (work, cache) = (directory + "/work", directory + "/cache")
        try? FileManager.default.removeItem(atPath: work)
        for path in [work, cache] {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments + ["--directory", work]
        // Ours, and PoCL's, which keeps its kernels itself.
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["FORJA_CACHE_DIR": cache, "POCL_CACHE_DIR": cache]) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0,
            let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
        else {
            throw ForjaError(
                .unavailable,
                "the memory of a training process could not be measured: forja "
                    + "\(arguments.joined(separator: " ")) ended with "
                    + "\(process.terminationStatus)",
                fix: "its own message stands above; correct what it names")
        }
        return bytes
    }

    private static func program() throws(ForjaError) -> String {
        guard let path = Bundle.main.executablePath else {
            throw ForjaError(
                .unavailable,
                "the program's own file is not known, so its memory cannot be measured",
                fix: "start forja by its path")
        }
        return path
    }
}

/// The child process of `ProcessMemory`: prints the bytes it holds beside the engine's after rehearsing a run.
struct RehearseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rehearse",
        abstract: "Says what a training process holds beside the engine's buffers, for plan.",
        shouldDisplay: false)

    @Option var dtype: ComputeType
    @Option var headWidth: Int
    @Option var recompute: String
    @Flag var documentMask = false
    @Option var directory: String
    @OptionGroup var compute: ComputeOptions

    static func arguments(for rehearsal: Rehearsal, options: ComputeOptions) -> [String] {
        [
            configuration.commandName!, "--dtype", rehearsal.computeType.rawValue,
            "--head-width", "\(rehearsal.headWidth)",
            "--recompute", rehearsal.recompute.rawValue,
            "--device", options.device.argument, "--threads", "\(options.threads)",
        ] + (rehearsal.documentMask ? ["--document-mask"] : [])
    }

    func run() throws {
        guard let recompute = StepGraph.RecomputePolicy(rawValue: recompute) else {
            throw ValidationError("--recompute is \(recompute); use none or block")
        }
        let queue = try Queue(device: compute.device.open(threadCount: compute.threads).device)
        // As train does before it allocates; what BLAS keeps of it stays.
        _ = try queue.device.measuredPeak()
        try Rehearsal(
            computeType: dtype.dtype, headWidth: headWidth, documentMask: documentMask,
            recompute: recompute
        ).run(on: queue, in: directory) { engineBytes in
            Console.result("\(max(ResidentMemory.now - engineBytes, 0))")
        }
    }
}
