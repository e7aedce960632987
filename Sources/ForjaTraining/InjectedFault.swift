import ForjaCore
import Foundation

/// A failure on purpose, for testing what a mesh does about one: `FORJA_TEST_FAULT=KIND:RANK:STEP`.
///
///     fail:1:7    rank 1 throws when step 7 begins
///     hang:1:7    rank 1 does nothing for ever
///     kill:1:7    its process gets SIGKILL
///     diverge:1:7 its weights become others
enum InjectedFault {
    /// Fails if the environment says so for this rank and step.
    static func trigger(
        rank: Int, step: Int, engine: TrainingEngine
    ) throws(ForjaError) {
        guard let text = ProcessInfo.processInfo.environment["FORJA_TEST_FAULT"] else { return }
        let parts = text.split(separator: ":")
        guard parts.count == 3, Int(parts[1]) == rank, Int(parts[2]) == step else { return }
        switch parts[0] {
        case "hang": while true { sleep(1000) }
        case "kill": kill(getpid(), SIGKILL)
        case "diverge":
            try engine.model.finalNorm.master.clear(on: engine.queue)
        default: throw ForjaError(.device, "failed on purpose by FORJA_TEST_FAULT=\(text)")
        }
    }
}
