import Foundation
import Testing

/// The program among other programs: signals, pipes, full disks, numbers out of all bounds.
@Suite("Program")
struct ProgramTests {
    /// Runs a line of shell in which `forja` stands for the built binary; its standard output.
    private func shell(_ line: String, in workspace: Workspace) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "forja() { \"$0\" \"$@\"; }; \(line)", ForjaProcess.binary]
        process.currentDirectoryURL = URL(fileURLWithPath: workspace.path)
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["FORJA_CACHE_DIR": Workspace.cache.path]) { $1 }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    @Test("--version names the build, its kernels and what computes")
    func version() throws {
        let outcome = try Workspace().run("--version")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.errors.isEmpty, "\(outcome)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 4, "\(outcome)")
        #expect(lines[0].wholeMatch(of: /forja \d+\.\d+\.\d+ \((release|debug), \w+\)/) != nil)
        #expect(lines[1].wholeMatch(of: /kernels [0-9a-f]{64}/) != nil)
        #expect(lines[2].hasPrefix("blas    OpenBLAS"))
        #expect(lines[3].hasPrefix("opencl  "))
        #expect(lines[3].count > 8)
    }

    @Test("train goes on to its end when nobody reads its output any more")
    func readerGoesAway() throws {
        let workspace = try Workspace()
        let arguments = Workspace.training("run", ["logging.every_steps=1"])
            .joined(separator: " ")
        let output = try shell(
            "forja \(arguments) 2>&1 | head -1; echo \"status ${PIPESTATUS[0]}\"", in: workspace)
        #expect(output.hasSuffix("status 0\n"), "\(output)")
        #expect(workspace.lastStep("run") == 12)
        #expect(workspace.has("run/checkpoints/step-12/forja.json"))
    }

    @Test(
        "a result that cannot be written ends in exit code 1 and an error line",
        .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "no /dev/full here"),
        arguments: ["devices", "devices --json", "plan recipe.yaml --device cpu --json"])
    func fullDisk(command: String) throws {
        let output = try shell(
            "forja \(command) 2>&1 >/dev/full; echo \"status $?\"", in: Workspace())
        #expect(output.contains("error: cannot write standard output: "), "\(output)")
        #expect(output.contains("\n  fix: "), "\(output)")
        #expect(output.hasSuffix("status 1\n"), "\(output)")
    }

    @Test("a log that cannot be written stops nothing")
    func fullLog() throws {
        let workspace = try Workspace()
        let arguments = Workspace.training("run").joined(separator: " ")
        let output = try shell("forja \(arguments) 2>/dev/full; echo \"status $?\"", in: workspace)
        #expect(output.hasSuffix("status 0\n"), "\(output)")
        #expect(workspace.lastStep("run") == 12)
    }

    /// Processor time that a process has used, in ticks of a hundredth of a second; 0 where it is not known.
    private func ticks(of process: Int32) -> Int {
        guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let name = stat.lastIndex(of: ")")
        else { return 0 }
        // Fields 14 and 15; the name, which may hold blanks, is the second.
        return stat[name...].split(separator: " ").dropFirst(12).prefix(2)
            .reduce(0) { $0 + (Int($1) ?? 0) }
    }

    @Test(
        "a signal ends a command that has nothing to save at once",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/stat"), "no /proc here"),
        arguments: [
            ["plan", "recipe.yaml", "--set", "model.layers=4096"],
            ["score", "--model", "run", "--ids", String(repeating: "1 ", count: 60_000)],
            ["bench", "step", "--steps", "1000000"],
        ], [SIGINT, SIGTERM])
    func signals(arguments: [String], signal: Int32) throws {
        let process = try ForjaProcess(
            arguments + ["--device", "cpu"], in: Workspace.trained.get())
        // Far enough to be in its work, which takes seconds.
        try process.send(signal) { ticks(of: process.processIdentifier) >= 30 }
        #expect(try process.wait().status == -signal)
    }

    @Test("SIGINT and SIGTERM end generate with the text so far", arguments: [SIGINT, SIGTERM])
    func interruptedGeneration(signal: Int32) throws {
        let workspace = try Workspace.trained.get()
        let process = try ForjaProcess(
            ["generate", "--model", "run", "--prompt", "fox", "--max-tokens", "16777216"]
                + ["--device", "cpu"], in: workspace)
        try process.send(signal) { process.output.utf8.count > 64 }
        let outcome = try process.wait()
        #expect(outcome.status == 130, "\(outcome)")
        #expect(outcome.output.hasPrefix("fox"))
        #expect(outcome.output.hasSuffix("\n"))
        #expect(outcome.errors.contains("generation stopped after "), "\(outcome)")
        #expect(outcome.errors.contains("of 16777216 tokens\n  fix: "), "\(outcome)")
    }

    @Test(
        "numbers past all bounds are wrong usage, not a crash",
        arguments: [
            ["generate", "--model", "run", "--max-tokens", "\(Int.max)"],
            ["generate", "--model", "run", "--samples", "4611686018427387904"],
            ["data", "inspect", "recipe.yaml", "--first-step", "\(Int.max)", "--batches", "1"],
            ["data", "inspect", "recipe.yaml", "--batches", "\(Int.max)"],
            ["bench", "step", "--batch", "\(Int.max)"], ["bench", "step", "--steps", "\(Int.max)"],
            ["plan", "recipe.yaml", "--threads", "\(Int.max)"],
        ])
    func hugeNumbers(arguments: [String]) throws {
        let outcome = try ForjaProcess(arguments, in: Workspace()).wait()
        #expect(outcome.status == 64, "\(outcome)")
        #expect(outcome.output.isEmpty, "\(outcome)")
    }

    @Test(
        "the greatest numbers taken are refused for their memory, in words of the command",
        arguments: [
            (
                ["generate", "--model", "run", "--samples", "16777216", "--prompt", "fox"],
                "generate fewer or shorter texts"
            ),
            (["bench", "step", "--batch", "65536"], "lower --batch"),
        ])
    func memoryRemedies(arguments: [String], fix: String) throws {
        let outcome = try ForjaProcess(
            arguments + ["--device", "cpu"], in: Workspace.trained.get(),
            environment: ["FORJA_MEMORY_LIMIT": "200M"]
        ).wait()
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.errors.contains(/error: .* needs [0-9]+/), "\(outcome)")
        #expect(outcome.errors.contains("  fix: \(fix)"), "\(outcome)")
        #expect(!outcome.errors.contains("training."), "\(outcome)")
    }
}
