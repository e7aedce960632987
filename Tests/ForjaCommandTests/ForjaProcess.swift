import Foundation
import Testing

/// One run of the built `forja` binary, its output kept in files so that no pipe can fill up.
final class ForjaProcess {
    static let patience: TimeInterval = 60

    /// `FORJA_BINARY`, else the one built beside the test bundle.
    static let binary: String = {
        if let path = ProcessInfo.processInfo.environment["FORJA_BINARY"] { return path }
        let neighbours =
            [Bundle.main.executableURL].compactMap { $0 } + Bundle.allBundles.map(\.bundleURL)
        let candidates = neighbours.map {
            $0.deletingLastPathComponent().appendingPathComponent("forja").path
        }
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0) }
            ?? candidates.first ?? "forja"
    }()

    struct Outcome: CustomStringConvertible {
        /// Exit code; a signal's number, negated, when one killed it.
        let status: Int32
        let output: String
        let errors: String

        var description: String { "status \(status)\n\(output)\(errors)" }

        /// Standard output as one JSON object.
        func json() throws -> [String: Any] {
            try #require(
                JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any],
                "\(self)")
        }
    }

    private let process = Process()
    /// Kept so that the directory outlives the process.
    private let workspace: Workspace
    private let outputPath: String
    private let errorPath: String
    private let deadline = Date(timeIntervalSinceNow: patience)

    /// Launcher under which no written file grows past `blocks` KiB.
    static func limitingFiles(toBlocks blocks: Int) -> [String] {
        ["bash", "-c", "ulimit -f \(blocks); exec \"$0\" \"$@\""]
    }

    /// Starts `forja` in a workspace.
    ///
    /// - Parameter launcher: A command that takes `forja` and its arguments as its last arguments.
    init(
        _ arguments: [String], in workspace: Workspace, environment: [String: String] = [:],
        launcher: [String] = []
    ) throws {
        self.workspace = workspace
        let name = UUID().uuidString
        outputPath = workspace.file("\(name).out")
        errorPath = workspace.file("\(name).err")
        for path in [outputPath, errorPath] {
            try Data().write(to: URL(fileURLWithPath: path))
        }
        process.executableURL = URL(
            fileURLWithPath: launcher.isEmpty ? Self.binary : "/usr/bin/env")
        process.arguments = launcher + (launcher.isEmpty ? [] : [Self.binary]) + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: workspace.path)
        var variables = ProcessInfo.processInfo.environment
        variables["FORJA_MEMORY_LIMIT"] = nil
        variables["FORJA_CACHE_DIR"] = Workspace.cache.path
        process.environment = variables.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: outputPath)
        process.standardError = FileHandle(forWritingAtPath: errorPath)
        try process.run()
    }

    /// Waits until `condition` holds, with the process still running.
    func wait(until condition: () -> Bool) throws {
        while !condition() {
            try #require(process.isRunning, "ended too soon\n\(text(errorPath))")
            try checkPatience()
            usleep(1000)
        }
        try #require(process.isRunning, "ended too soon\n\(text(errorPath))")
    }

    /// Sends a signal once `condition` holds.
    func send(_ signal: Int32, when condition: () -> Bool) throws {
        try wait(until: condition)
        kill(process.processIdentifier, signal)
    }

    /// Waits until `condition` holds, the time is over or the process has ended.
    func waitOrEnd(seconds: TimeInterval = patience, until condition: () -> Bool = { false }) {
        let end = Date(timeIntervalSinceNow: seconds)
        while process.isRunning, !condition(), Date() < end { usleep(100) }
    }

    /// Sends a signal unless the process has ended.
    func sendIfRunning(_ signal: Int32) {
        if process.isRunning { kill(process.processIdentifier, signal) }
    }

    var processIdentifier: Int32 { process.processIdentifier }

    /// Standard output so far.
    var output: String { text(outputPath) }
    /// Standard error so far.
    var errors: String { text(errorPath) }

    func wait() throws -> Outcome {
        while process.isRunning {
            try checkPatience()
            usleep(1000)
        }
        let status = process.terminationStatus
        return Outcome(
            status: process.terminationReason == .exit ? status : -status,
            output: text(outputPath), errors: text(errorPath))
    }

    private func checkPatience() throws {
        guard Date() > deadline else { return }
        kill(process.processIdentifier, SIGKILL)
        try #require(Bool(false), "no end after \(Self.patience) s\n\(text(errorPath))")
    }

    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
