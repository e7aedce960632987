import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import Foundation
import Testing

/// Generation with cached keys and values against the whole text at once.
@Suite("Generator", .serialized)
struct GeneratorTests {
    private static let greedy = Result { try SamplingSettings(temperature: 0) }

    /// The golden model, its weights read for inference.
    private func model(
        _ name: String = "tied", positions: Int = 128, on queue: Queue
    ) throws -> LlamaModel {
        let directory = try ModelDirectory(fixture("llama/\(name)"))
        let model = LlamaModel(
            directory.configuration, computeType: .float32, positions: positions, isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        return model
    }

    /// Tokens that follow no pattern.
    private func prompt(_ count: Int, seed: UInt64 = 0) -> [Int32] {
        let random = CounterRandom(seed: seed, purpose: .data)
        return (0..<UInt64(count)).map { Int32(random.integer(below: 96, at: $0)) }
    }

    /// Logits after the last token, computed from the whole text without a cache.
    private func lastLogits(
        of text: [Int32], _ model: LlamaModel, on queue: Queue
    ) throws -> [Float] {
        let vocabulary = model.configuration.vocabularySize
        let tokens = Variable(name: "tokens", shape: [text.count], dtype: .int32)
        let logits = Variable(name: "logits", shape: [text.count, vocabulary], dtype: .float32)
        let graph = StepGraph()
        try graph.logits(
            hidden: model.hidden(
                in: graph, tokens: graph.tensor(tokens), batch: 1,
                source: .sequences(length: text.count, documentStart: nil)),
            weight: graph.tensor(model.head.compute), into: logits)
        let scheduler = Scheduler(queue: queue)
        let id = try scheduler.add(graph)
        try scheduler.prepare()
        try tokens.write(text, on: queue)
        try scheduler.run(id)
        return try logits.read(Float.self, on: queue).suffix(vocabulary)
    }

    /// Whether each new token is the most likely one after the text before it, within the bound of logits.
    private func expectGreedy(
        _ ids: [Int32], after prompt: [Int32], _ model: LlamaModel, on queue: Queue,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var text = prompt
        for id in ids {
            let logits = try lastLogits(of: text, model, on: queue)
            let shortfall = try #require(logits.max()) - logits[Int(id)]
            #expect(
                shortfall <= 2 * ModelTolerance.logits,
                "token \(text.count - prompt.count) after \(prompt.count)",
                sourceLocation: sourceLocation)
            text.append(id)
        }
    }

    private func generate(
        _ prompts: [[Int32]], maxNewTokens: Int, stopIDs: Set<Int32> = [], _ model: LlamaModel,
        on queue: Queue, capacity: Int? = nil
    ) throws -> [[Int32]] {
        let longest = prompts.map(\.count).max() ?? 0
        return try Generator(
            model: model, sequences: prompts.count, capacity: capacity ?? longest + maxNewTokens,
            queue: queue
        ).generate(
            prompts: prompts, maxNewTokens: maxNewTokens, sampling: Self.greedy.get(),
            stopIDs: stopIDs)
    }

    @Test(
        "the first token is the most likely one of PyTorch's logits",
        arguments: ["tied", "untied-wide-heads"], TestedDevice.all)
    func matchesPyTorch(name: String, device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(name, on: queue)
        let golden = try SafetensorsFile(
            contentsOf: fixture("llama/\(name)/golden.safetensors"))
        let ids = try golden.withUnsafeBytes(of: "ids") { Array($0.bindMemory(to: Int32.self)) }
        let logits = try golden.withUnsafeBytes(of: "logits") {
            Array($0.bindMemory(to: Float.self))
        }
        let shape = try golden.tensor(named: "logits").shape
        for count in [1, 2, 17, shape[1]] {
            let prompts = (0..<shape[0]).map { Array(ids[($0 * shape[1])...].prefix(count)) }
            let drawn = try generate(prompts, maxNewTokens: 1, model, on: queue)
            for (row, id) in drawn.map({ $0[0] }).enumerated() {
                let start = (row * shape[1] + count - 1) * shape[2]
                let expected = logits[start..<(start + shape[2])]
                let shortfall = try #require(expected.max()) - expected[start + Int(id)]
                #expect(shortfall <= 2 * ModelTolerance.logits, "row \(row) after \(count)")
            }
        }
    }

    @Test(
        "prompts of one part, a whole one and more are continued greedily, also side by side",
        arguments: [[1], [64], [65], [3, 70], [65, 1, 64]], TestedDevice.all)
    func continuesPrompts(lengths: [Int], device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(on: queue)
        let prompts = lengths.enumerated().map { prompt($1, seed: UInt64($0)) }
        let results = try generate(prompts, maxNewTokens: 6, model, on: queue)
        for (prompt, ids) in zip(prompts, results) {
            #expect(ids.count == 6)
            try expectGreedy(ids, after: prompt, model, on: queue)
        }
    }

    @Test("a stop id ends its own sequence and stands last in it", arguments: TestedDevice.all)
    func stopIDs(device: TestedDevice) throws {
        let queue = try device.queue()
        let model = try model(on: queue)
        let prompts = [prompt(5), prompt(9, seed: 1), prompt(2, seed: 2)]
        let free = try generate(prompts, maxNewTokens: 12, model, on: queue)
        let stop = free[1][3]
        let stopped = try generate(
            prompts, maxNewTokens: 12, stopIDs: [stop], model, on: queue)
        for (ids, whole) in zip(stopped, free) {
            let end = whole.firstIndex(of: stop) ?? whole.count - 1
            #expect(ids == Array(whole[...end]))
        }
        #expect(try #require(stopped[1].last) == stop)
        #expect(stopped[1].count <= 4)
    }

    @Test(
        "past the context each text goes on from its own last half, whatever is beside it",
        arguments: TestedDevice.all)
    func refillsPastContext(device: TestedDevice) throws {
        let queue = try device.queue()
        // 80 is no multiple of the 64 positions read at a time.
        let model = try model(positions: 80, on: queue)
        let prompts = [prompt(3), prompt(70, seed: 1), prompt(100, seed: 2), prompt(78, seed: 3)]
        let together = try generate(prompts, maxNewTokens: 130, model, on: queue)
        for (prompt, ids) in zip(prompts, together) {
            #expect(ids.count == 130)
            #expect(try generate([prompt], maxNewTokens: 130, model, on: queue) == [ids])
            try expectWindowed(ids, after: prompt, capacity: 80, model, on: queue)
        }
    }

    /// As `expectGreedy`, with the text in view that a cache of `capacity` positions holds.
    private func expectWindowed(
        _ ids: [Int32], after prompt: [Int32], capacity: Int, _ model: LlamaModel, on queue: Queue
    ) throws {
        var text = prompt
        var start = 0
        for (index, id) in ids.enumerated() {
            if text.count - start > capacity { start = text.count - capacity / 2 }
            // Every seventh token and those around a refill: each costs a pass over the whole window.
            if index % 7 == 0 || text.count - start <= capacity / 2 + 1 {
                try expectGreedy([id], after: Array(text[start...]), model, on: queue)
            }
            text.append(id)
        }
    }

    @Test("a sequence that has ended changes nothing for those that go on past the context")
    func endedSequences() throws {
        let queue = try TestedDevice.host.queue()
        let model = try model(positions: 32, on: queue)
        let prompts = [prompt(30), prompt(4, seed: 1)]
        let alone = try prompts.map {
            try generate([$0], maxNewTokens: 90, model, on: queue)[0]
        }
        // Ends the first text early, and never occurs in the second.
        let stop = try #require(alone[0].prefix(20).first { !alone[1].contains($0) })
        let together = try generate(
            prompts, maxNewTokens: 90, stopIDs: [stop], model, on: queue)
        #expect(together[0].last == stop)
        #expect(together[1] == alone[1])
    }

    @Test("no new tokens, and a caller that stops, leave what was drawn so far")
    func stopsEarly() throws {
        let queue = try TestedDevice.host.queue()
        let model = try model(on: queue)
        #expect(try generate([prompt(4)], maxNewTokens: 0, model, on: queue) == [[]])
        var seen: [Int32] = []
        let ids = try Generator(model: model, sequences: 1, capacity: 20, queue: queue).generate(
            prompts: [prompt(4)], maxNewTokens: 12, sampling: Self.greedy.get()
        ) { _, id in
            seen.append(id)
            return seen.count < 5
        }
        #expect(ids == [seen])
        #expect(seen.count == 5)
    }
}
