import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import ForjaTestSupport
import ForjaTraining
import Foundation
import Synchronization
import Testing

/// Weights that are still being gathered when a step returns: whoever comes next has to get them whole.
@Suite("Gathers beside the next step", .serialized)
struct PendingGatherTests {
    /// One rank's engine, and what a test does between its steps.
    struct Rank {
        let rank: MeshRank
        let queue: Queue
        let engine: TrainingEngine

        init(_ rank: MeshRank, on device: Device) throws(ForjaError) {
            self.rank = rank
            queue = try Queue(device: device)
            engine = try TrainingEngine(
                model: LlamaModel(
                    DataParallelTests.configuration, computeType: .float32,
                    positions: DataParallelTests.length),
                shape: StepShape(
                    sequences: Self.sequences, sequenceLength: DataParallelTests.length),
                optimizer: DataParallelTests.optimizer, queue: queue, rank: rank)
            try engine.prepare()
            try engine.model.initialize(seed: 5, on: queue)
        }

        private static let sequences = DataParallelTests.rows / 2

        func batch(_ number: Int) -> Batch {
            let first = rank.rank * Self.sequences
            return DataParallelTests.batch(
                step: number, rows: first..<first + Self.sequences)
        }

        func step(_ number: Int) throws(ForjaError) -> StepResult {
            try engine.step(
                number: number, microbatches: [batch(number)], learningRate: 3e-3,
                maxGradientNorm: 1)
        }

        func weights() throws(ForjaError) -> [[Float]] {
            var weights: [[Float]] = []
            for parameter in engine.model.parameters {
                weights.append(try parameter.compute.read(Float.self, on: queue))
            }
            return weights
        }
    }

    /// Two data-parallel ranks, whose weights' gathers do `hook` first.
    func onTwoRanks<Result: Sendable>(
        _ device: TestedDevice = .host,
        beforeGather hook: @escaping GatherHook.Hook = { _ in Thread.sleep(forTimeInterval: 0.1) },
        _ body: @escaping @Sendable (MeshRank, Device) throws(ForjaError) -> Result
    ) throws -> [Result] {
        let selection: DeviceSelection =
            switch device {
            case .host: .host
            case .openCL(let index): .openCLIndex(index)
            }
        let devices = try selection.open(rankCount: 2, threadCount: 2).devices
        return try InProcessRanks.run(count: 2, timeoutSeconds: 300) { world throws(ForjaError) in
            let rank = try MeshRank(
                mesh: Mesh(data: 2, tensor: 1), world: GatherHook(world, hook: hook))
            return try body(rank, devices[world.rank])
        }
    }

    @Test("reading a weight waits for its gather", arguments: TestedDevice.all)
    func readsWait(device: TestedDevice) throws {
        let seen = try onTwoRanks(device) { rank, device throws(ForjaError) in
            let it = try Rank(rank, on: device)
            _ = try it.step(1)
            let early = try it.weights()
            try it.engine.finishCollectives()
            return (early, try it.weights())
        }
        #expect(seen.allSatisfy { $0.0 == $0.1 })
        #expect(seen[0].0 == seen[1].0)
    }

    @Test("so does another scheduler's graph that reads it", arguments: TestedDevice.all)
    func otherGraphsWait(device: TestedDevice) throws {
        let seen = try onTwoRanks(device) { rank, device throws(ForjaError) in
            let it = try Rank(rank, on: device)
            let weight = it.engine.model.layers[1].down.compute
            let copy = Variable(name: "copy", shape: weight.shape, dtype: .float32)
            let graph = StepGraph()
            graph.copy(graph.tensor(weight), into: copy)
            let scheduler = Scheduler(queue: it.queue)
            let id = try scheduler.add(graph)
            try scheduler.prepare()
            _ = try it.step(1)
            try scheduler.run(id)
            let copied = try copy.read(Float.self, on: it.queue)
            try it.engine.finishCollectives()
            return copied == (try weight.read(Float.self, on: it.queue))
        }
        #expect(seen == [true, true])
    }

    @Test("validation between steps sees whole weights and changes nothing")
    func validatesBetween() throws {
        let runs = try [false, true].map { finishesFirst in
            try onTwoRanks { rank, device throws(ForjaError) in
                let it = try Rank(rank, on: device)
                var seen: [Double] = []
                for number in 1...3 {
                    seen.append(Double(try it.step(number).loss))
                    if finishesFirst { try it.engine.finishCollectives() }
                    var batches = [it.batch(100)]
                    seen.append(try it.engine.validate { batches.popLast() })
                }
                return seen
            }
        }
        #expect(runs[0] == runs[1])
        let straight = try onTwoRanks { rank, device throws(ForjaError) in
            let it = try Rank(rank, on: device)
            var seen: [Double] = []
            for number in 1...3 { seen.append(Double(try it.step(number).loss)) }
            return seen
        }
        #expect(straight[0] == [runs[0][0][0], runs[0][0][2], runs[0][0][4]])
    }

    @Test("a run cut between a step and its gathers goes on with the same bits")
    func resumesBetween() throws {
        let seen = try onTwoRanks { rank, device throws(ForjaError) in
            let straight = try Rank(rank, on: device)
            for number in 1...4 { _ = try straight.step(number) }
            let first = try Rank(rank, on: device)
            for number in 1...2 { _ = try first.step(number) }
            let second = try Rank(rank, on: device)
            for (parameter, values) in zip(second.engine.model.parameters, try first.weights()) {
                try parameter.compute.write(values, on: second.queue)
            }
            for (from, to) in zip(first.engine.states, second.engine.states) {
                for moment in [\AdamWState.firstMoment, \.secondMoment] {
                    try to[keyPath: moment].write(
                        from[keyPath: moment].read(Float.self, on: first.queue), on: second.queue)
                }
            }
            for number in 3...4 { _ = try second.step(number) }
            return (try second.weights(), try straight.weights())
        }
        #expect(seen.allSatisfy { $0.0 == $0.1 })
    }

    @Test("a gather that fails is named by who needs it next, on every rank")
    func failureSurfaces() throws {
        let messages = Mutex<[Int: [String]]>([:])
        let fails = Mutex(false)
        let failing: GatherHook.Hook = { rank throws(ForjaError) in
            guard rank == 1, fails.withLock({ $0 }) else { return }
            throw ForjaError(.device, "the link went down")
        }
        let error = #expect(throws: ForjaError.self) {
            try onTwoRanks(beforeGather: failing) { rank, device throws(ForjaError) in
                let it = try Rank(rank, on: device)
                for number in 1...2 { _ = try it.step(number) }
                try it.engine.finishCollectives()
                try rank.world.barrier()
                fails.withLock { $0 = true }
                // Its gathers fail after it; the step itself is whole.
                _ = try it.step(3)
                func note(_ body: () throws(ForjaError) -> Void) -> ForjaError? {
                    do throws(ForjaError) {
                        try body()
                        return nil
                    } catch {
                        messages.withLock { $0[rank.rank, default: []].append(error.message) }
                        return error
                    }
                }
                let read =
                    rank.rank == 1 ? note { () throws(ForjaError) in _ = try it.weights() } : nil
                let stepped = note { () throws(ForjaError) in _ = try it.step(4) }
                guard let failure = read ?? stepped else { return }
                throw failure
            }
        }
        #expect(error?.code == .device)
        let seen = messages.withLock { $0 }
        #expect(seen[1]?.count == 2)
        #expect(seen[0]?.count == 1)
        for message in seen.values.joined() {
            #expect(message.contains("all-gather weight bucket"), "\(message)")
            #expect(message.contains("the link went down"), "\(message)")
        }
    }
}

/// A rank's communicator that does something before it gathers weights.
final class GatherHook: Communicator {
    typealias Hook = @Sendable (_ rank: Int) throws(ForjaError) -> Void
    private let base: any Communicator
    private let hook: Hook
    /// What is gathered besides weights is smaller.
    private static let leastWeightByteCount = 16_384

    init(_ base: any Communicator, hook: @escaping Hook) {
        self.base = base
        self.hook = hook
    }

    var rank: Int { base.rank }
    var rankCount: Int { base.rankCount }
    var progress: RankProgress { base.progress }

    func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) throws(ForjaError) {
        try base.exchange(bytes, bounds: bounds, body)
    }

    func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) throws(ForjaError) {
        if bytes.count >= Self.leastWeightByteCount { try hook(rank) }
        try base.allGather(bytes, bounds: bounds)
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(ForjaError) {
        try base.broadcast(bytes, from: root)
    }
    func barrier() throws(ForjaError) { try base.barrier() }
    func split(color: Int) throws(ForjaError) -> any Communicator {
        GatherHook(try base.split(color: color), hook: hook)
    }
    func abort(_ reason: ForjaError) { base.abort(reason) }
}
