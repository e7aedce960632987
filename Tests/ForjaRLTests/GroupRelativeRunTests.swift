import ForjaCore
import ForjaRL
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// Whole runs of grpo: what they learn, and that their order, ranks and interruptions change nothing.
@Suite("Runs of grpo", .serialized)
struct GroupRelativeRunTests {
    /// Relative, of figures of a step in parts against one in one piece: gradients are summed in another order.
    static let parallelBound = 1e-4

    @Test("the reward rises")
    func learns() throws {
        let run = try TinyRun()
        let figures = try run.train(
            "run",
            [
                "training.max_steps=40", "grpo.updates_per_batch=1", "schedule.learning_rate=0.01",
                "training.batch_size_sequences=64", "grpo.answers_per_prompt=16",
                "checkpoint.every_steps=0", "evaluation.every_steps=0",
            ])
        let rewards = figures.metrics.compactMap { $0["reward"] }
        let (first, last) = (rewards.prefix(5).reduce(0, +) / 5, rewards.suffix(5).reduce(0, +) / 5)
        #expect(first < 0.4)
        #expect(last > 0.9)
        let validations = figures.metrics.compactMap { $0["pass_at_1"] }
        #expect(validations.count == 1)
        let lines = try run.lines("run/rollouts.jsonl")
        #expect(lines.count == 40 * 64)
        #expect(lines.allSatisfy { ($0["weights_step"] as? Int)! + 1 == $0["step"] as? Int })
        let first64 = lines.prefix(64).compactMap { $0["reward"] as? Double }
        #expect(abs(first64.reduce(0, +) / 64 - rewards[0]) <= 1e-12)
    }

    @Test(
        "microsteps and data-parallel ranks train as one device does in one pass",
        arguments: [
            ["training.gradient_accumulation_steps=2"],
            ["training.gradient_accumulation_steps=8"], ["parallel.data=2"],
            ["parallel.data=2", "training.gradient_accumulation_steps=2"],
        ])
    func areTheSameHoweverSpread(settings: [String]) throws {
        let run = try TinyRun()
        let one = try run.train("one", ["grpo.kl_beta=0.01"])
        let other = try run.train("other", ["grpo.kl_beta=0.01"] + settings)
        #expect(one.rollouts == other.rollouts)
        #expect(one.metrics.count == other.metrics.count)
        for (a, b) in zip(one.metrics, other.metrics) {
            #expect(a.keys == b.keys)
            for (name, x) in a {
                let y = b[name] ?? .nan
                #expect(abs(x - y) <= Self.parallelBound * max(1, abs(x)), "\(name)")
            }
        }
    }

    @Test("a rank without a prompt of its own trains on the others' answers")
    func fewerPromptsThanRanks() throws {
        let run = try TinyRun()
        let settings = [
            "training.batch_size_sequences=8", "grpo.updates_per_batch=1",
            "data.validation_fraction=0",
        ]
        let one = try run.train("one", settings)
        let two = try run.train("two", settings + ["parallel.data=2"])
        #expect(one.rollouts == two.rollouts)
    }

    @Test(
        "a run resumed from a checkpoint inside a batch gives the same bits",
        arguments: [false, true])
    func resumesToTheSameBits(isPipelined: Bool) throws {
        let run = try TinyRun()
        let settings = ["grpo.pipelined=\(isPipelined)"]
        let straight = try run.train("run", settings)
        // As a run that was killed after step 5.
        try FileManager.default.removeItem(
            atPath: run.directory.file("run/checkpoints/step-6"))
        #expect(RunDirectory.checkpointSteps(in: run.directory.file("run")) == [3])
        #expect(try run.train("run", settings, isResuming: true) == straight)
    }

    @Test(
        "a pipeline that waits for the update gives what the synchronous order gives",
        arguments: Array(TestedDevice.all.prefix(2)))
    func waitingPipelineIsSynchronous(device: TestedDevice) throws {
        let run = try TinyRun()
        let settings = ["grpo.kl_beta=0.01"]
        let synchronous = try run.train("synchronous", settings, on: device)
        let waiting = try run.train(
            "waiting", settings + ["grpo.pipelined=true"], on: device, samplesAfterUpdate: true)
        #expect(waiting == synchronous)
    }

    @Test("a pipelined answer is a batch old, and its row says so")
    func pipelinedAnswersAreABatchOld() throws {
        let run = try TinyRun()
        let figures = try run.train("run", ["grpo.pipelined=true"])
        let lags = figures.metrics.compactMap { $0["weights_lag"] }
        #expect(lags == [0, 2, 2])
        for line in try run.lines("run/rollouts.jsonl") {
            let step = try #require(line["step"] as? Int)
            #expect(line["weights_step"] as? Int == max(0, step - 3))
        }
    }

    @Test("the limit rises with the steps of grpo.lengthening")
    func lengthens() throws {
        let figures = try TinyRun().train("run", ["grpo.lengthening=\"3:8, 5:12\""])
        #expect(figures.metrics.compactMap { $0["answer_limit"] } == [4, 8, 12])
        #expect(figures.metrics[0]["answer_length_max"] == 4)
        #expect(figures.metrics.compactMap { $0["answer_length_max"] }.max()! > 8)
    }
}
