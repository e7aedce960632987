import ForjaCore
import ForjaModels
import ForjaRuntime
import ForjaTestSupport
import Testing

/// Many prompts through few places, against scoring and against each prompt alone.
@Suite("BatchEngine", .serialized)
struct BatchEngineTests {
    private func model(positions: Int = 96, on queue: Queue) throws -> LlamaModel {
        let directory = try ModelDirectory(fixture("llama/tied"))
        let model = LlamaModel(
            directory.configuration, computeType: .float32, positions: positions, isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        return model
    }

    /// Prompts of these lengths, of tokens that follow no pattern.
    private func requests(_ lengths: [Int]) -> [GenerationRequest] {
        lengths.enumerated().map { number, length in
            let random = CounterRandom(seed: UInt64(number), purpose: .data)
            return GenerationRequest(
                prompt: (0..<UInt64(length)).map { Int32(random.integer(below: 96, at: $0)) },
                sequence: number)
        }
    }

    private func run(
        _ requests: [GenerationRequest], width: Int, maxNewTokens: Int = 12,
        _ sampling: SamplingSettings, stopIDs: Set<Int32> = [], _ model: LlamaModel,
        on queue: Queue
    ) throws -> [Completion] {
        try BatchEngine(model: model, width: width, capacity: 96, queue: queue).run(
            requests, maxNewTokens: maxNewTokens, sampling: sampling, stopIDs: stopIDs)
    }

    @Test(
        "log-probabilities of sampled tokens are those of scoring the text",
        arguments: TestedDevice.all)
    func matchesScoring(device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(on: queue)
        let requests = requests([1, 5, 70, 2, 64, 9, 31])
        let completions = try run(
            requests, width: 3, SamplingSettings(temperature: 1, seed: 3), model, on: queue)
        let scorer = LlamaScorer(model: model, queue: queue)
        for (request, completion) in zip(requests, completions) {
            #expect(completion.finish == .length)
            #expect(completion.ids.count == 12)
            let scored = try scorer.logProbabilities(of: request.prompt + completion.ids)
                .suffix(12).map { $0! }
            #expect(
                largestDifference(completion.modelLogProbabilities, scored)
                    <= ModelTolerance.sampledLogProbability)
            // At temperature 1 both are the model's.
            #expect(
                largestDifference(completion.logProbabilities, scored)
                    <= ModelTolerance.sampledLogProbability)
        }
    }

    @Test(
        "neither the width of the batch nor its order changes an answer",
        arguments: TestedDevice.all)
    func width(device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(on: queue)
        let requests = requests([1, 5, 70, 2, 64, 9, 31, 17, 33])
        for temperature: Float in [0, 0.8] {
            let sampling = try SamplingSettings(temperature: temperature, seed: 5)
            let alone = try run(requests, width: 1, sampling, model, on: queue)
            for width in [2, 4, 9, 16] {
                let together = try run(requests, width: width, sampling, model, on: queue)
                for (a, b) in zip(alone, together) {
                    #expect(a.ids == b.ids, "width \(width)")
                    #expect(a.finish == b.finish)
                    #expect(
                        largestDifference(a.modelLogProbabilities, b.modelLogProbabilities)
                            <= ModelTolerance.sampledLogProbability)
                    #expect(
                        largestDifference(a.logProbabilities, b.logProbabilities)
                            <= ModelTolerance.sampledLogProbability)
                }
            }
            let backwards = try run(requests.reversed(), width: 4, sampling, model, on: queue)
            #expect(backwards.reversed().map(\.ids) == alone.map(\.ids))
        }
    }

    @Test("the same run has the same bits", arguments: TestedDevice.all)
    func repeats(device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(on: queue)
        let engine = try BatchEngine(model: model, width: 3, capacity: 96, queue: queue)
        let requests = requests([4, 40, 8, 1, 66])
        let sampling = try SamplingSettings(temperature: 1, seed: 8)
        let first = try engine.run(requests, maxNewTokens: 9, sampling: sampling)
        #expect(try engine.run(requests, maxNewTokens: 9, sampling: sampling) == first)
        let seed = try SamplingSettings(temperature: 1, seed: 9)
        #expect(try engine.run(requests, maxNewTokens: 9, sampling: seed) != first)
    }

    @Test("an end token, the limit and the positions of the model end an answer")
    func finishes() throws {
        let queue = try TestedDevice.host.queue()
        let model = try model(positions: 40, on: queue)
        let greedy = try SamplingSettings(temperature: 0)
        let requests = requests([5, 36, 40])
        let free = try run(requests, width: 2, greedy, model, on: queue)
        #expect(free.map(\.ids.count) == [12, 5, 1])
        #expect(free.allSatisfy { $0.finish == .length })
        #expect(free[0].logProbabilities == Array(repeating: 0, count: 12))
        let stop = free[0].ids[3]
        let end = try #require(free[0].ids.firstIndex(of: stop))
        let stopped = try run(requests, width: 2, greedy, stopIDs: [stop], model, on: queue)
        #expect(stopped[0].ids == Array(free[0].ids[...end]))
        #expect(stopped[0].finish == .stop)
        #expect(stopped[0].modelLogProbabilities.count == end + 1)
    }

    @Test("a caller that stops gets what is done and what is in progress")
    func stops() throws {
        let queue = try TestedDevice.host.queue()
        let model = try model(on: queue)
        var steps = 0
        var ended: [Int] = []
        let completions = try BatchEngine(model: model, width: 2, capacity: 96, queue: queue).run(
            requests([3, 4, 5, 6]), maxNewTokens: 4, sampling: SamplingSettings(temperature: 0),
            onCompletion: { number, _ in ended.append(number) },
            isStopped: {
                steps += 1
                return steps == 6
            })
        #expect(ended == [0, 1])
        #expect(completions.map(\.ids.count) == [4, 4, 2, 2])
        #expect(completions.map(\.finish) == [.length, .length, .interrupted, .interrupted])
    }

    @Test("prompts that cannot be answered are refused by number")
    func refusesPrompts() throws {
        let queue = try TestedDevice.host.queue()
        let model = try model(positions: 16, on: queue)
        let engine = try BatchEngine(model: model, width: 2, capacity: 16, queue: queue)
        for (prompt, words) in [
            ([], "no tokens"), ([Int32](repeating: 1, count: 17), "17 tokens"),
            ([96], "outside the vocabulary"),
        ] as [([Int32], String)] {
            let error = #expect(throws: ForjaError.self) {
                try engine.run(
                    [
                        GenerationRequest(prompt: [1], sequence: 0),
                        GenerationRequest(prompt: prompt, sequence: 1),
                    ], maxNewTokens: 1, sampling: SamplingSettings())
            }
            #expect(error?.message.hasPrefix("prompt 1: ") == true, "\(String(describing: error))")
            #expect(error?.message.contains(words) == true, "\(String(describing: error))")
        }
    }
}
