import ForjaTestSupport
import Foundation
import Testing

/// Runs killed again and again, at moments that a seed draws, and resumed until they are done.
///
/// A few seconds long in `make test`; `make test-long` sets FORJA_SOAK_SECONDS, and FORJA_SOAK_SEED draws other
/// moments. Every run's kills are printed.
@Suite("Kill soak", .serialized)
struct KillSoakTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// Of one device.
    private static let seconds =
        (environment["FORJA_SOAK_SECONDS"].flatMap(Double.init) ?? 6)
        / Double(TestedDevice.selectors.count)
    private static let seed = environment["FORJA_SOAK_SEED"].flatMap(UInt64.init) ?? 1

    /// Steps, and steps between saves: enough of both that kills meet steps, saves and validations.
    private static func length(on device: String) -> (steps: Int, settings: [String]) {
        let (steps, interval) = device == "cpu" ? (3000, 100) : (40, 3)
        return (
            steps,
            [
                "training.max_steps=\(steps)", "checkpoint.every_steps=\(interval)",
                "evaluation.every_steps=\(2 * interval + 1)", "schedule.kind=cosine",
            ]
        )
    }

    /// What ended one process of a run before the run was done.
    private struct Kill: CustomStringConvertible {
        let signal: Int32
        let step: Int
        let metSave: Bool

        var description: String {
            "\(signal == SIGKILL ? "KILL" : "INT")@\(step)\(metSave ? " in a save" : "")"
        }
    }

    @Test(
        "a run killed at any moments ends with the bits of one that was left alone",
        arguments: TestedDevice.selectors)
    func endsWithTheSameBits(device: String) throws {
        let workspace = try Workspace()
        let (steps, settings) = Self.length(on: device)
        let straight = try workspace.train("straight", settings, device: device)
        #expect(straight.status == 0, "\(straight)")

        var generator = SeededGenerator(seed: Self.seed)
        var kills: [Kill] = []
        var runs = 0
        let deadline = Date(timeIntervalSinceNow: Self.seconds)
        repeat {
            runs += 1
            let run = "run-\(runs)"
            var own: [Kill] = []
            // Left alone in the end, so that the soak ends.
            while let kill = try Self.attempt(
                run, steps: steps, settings, device: device, in: workspace,
                isSpared: own.count == 100 || Date() > deadline && !(kills + own).isEmpty,
                using: &generator)
            {
                own.append(kill)
            }
            print("kill soak, \(device), \(run): \(own.map(\.description))")
            try workspace.expectEqualRuns("straight", run, steps: steps)
            try FileManager.default.removeItem(atPath: workspace.file(run))
            kills += own
        } while Date() < deadline || kills.isEmpty
        func count(_ isCounted: (Kill) -> Bool) -> Int { kills.count(where: isCounted) }
        print(
            "kill soak, \(device), seed \(Self.seed): \(runs) runs of \(steps) steps with equal bits after "
                + "\(kills.count) kills: \(count { $0.signal == SIGKILL }) SIGKILL, "
                + "\(count { $0.signal == SIGINT }) SIGINT, \(count(\.metSave)) during a save, "
                + "\(count { $0.step == 0 }) before the first step")
    }

    /// Starts or resumes a run and kills it at a drawn moment.
    ///
    /// - Parameter isSpared: Lets it run to its end.
    /// - Returns: The kill; `nil` when the run got to its end.
    private static func attempt(
        _ run: String, steps: Int, _ settings: [String], device: String, in workspace: Workspace,
        isSpared: Bool, using generator: inout SeededGenerator
    ) throws -> Kill? {
        func halfWritten() -> Set<String> {
            let names = (try? workspace.entries("\(run)/checkpoints")) ?? []
            return names.filter { $0.hasPrefix(".step-") }
        }
        let stale = halfWritten()
        func isSaving() -> Bool { !halfWritten().subtracting(stale).isEmpty }

        let signal = Int.random(in: 0..<3, using: &generator) == 0 ? SIGINT : SIGKILL
        let moment = Int.random(in: 0..<3, using: &generator)
        let step = Int.random(in: workspace.lastStep(run)...steps, using: &generator)
        let fraction = Double.random(in: 0..<1, using: &generator)
        let process = try ForjaProcess(
            Workspace.training(
                run, settings, workspace.has(run) ? ["--resume"] : [], device: device),
            in: workspace)
        var metSave = false
        if !isSpared {
            switch moment {
            case 0:  // While a checkpoint is written, which takes some milliseconds.
                process.waitOrEnd(until: isSaving)
                process.waitOrEnd(seconds: 0.002 * fraction)
            case 1:  // Around a step.
                process.waitOrEnd { workspace.lastStep(run) >= step }
                process.waitOrEnd(seconds: 0.002 * fraction)
            default:  // At any time, from the start of the process on.
                process.waitOrEnd(seconds: 1.5 * fraction)
            }
            metSave = isSaving()
            process.sendIfRunning(signal)
        }
        let outcome = try process.wait()
        guard outcome.status != 0 else { return nil }
        // SIGINT ends a process with 130 once it listens and as any signal before.
        let expected: Set<Int32> = signal == SIGINT ? [130, -SIGINT] : [-SIGKILL]
        try #require(!isSpared && expected.contains(outcome.status), "\(outcome)")
        return Kill(signal: signal, step: workspace.lastStep(run), metSave: metSave)
    }
}
