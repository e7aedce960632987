import ForjaCore
import ForjaRuntime
import ForjaTestSupport
import Testing

@Suite("Memory plan")
struct MemoryPlanTests {
    /// A graph of random dispatches over random storages.
    func randomGraph(seed: UInt64, storages: Int, dispatches: Int) -> StepGraph {
        let random = CounterRandom(seed: seed, purpose: .data)
        var counter: UInt64 = 0
        func next(_ bound: Int) -> Int {
            counter += 1
            return Int(random.integer(below: UInt64(bound), at: counter))
        }
        let graph = StepGraph()
        let tensors = (0..<storages).map {
            graph.transient("t\($0)", [1 + next(5000)], .float32)
        }
        for _ in 0..<dispatches {
            let a = tensors[next(storages)]
            let b = tensors[next(storages)]
            graph.recordCast(from: a, to: b)
        }
        return graph
    }

    func lifetimes(_ graph: StepGraph) -> [Int: ClosedRange<Int>] {
        var result: [Int: ClosedRange<Int>] = [:]
        for (index, dispatch) in graph.dispatches.enumerated() {
            for storage in dispatch.reads + dispatch.writes {
                result[storage] = (result[storage]?.lowerBound ?? index)...index
            }
        }
        return result
    }

    @Test("storages that live at once never share a byte", arguments: UInt64(0)..<20)
    func neverOverlaps(seed: UInt64) throws {
        let graph = randomGraph(seed: seed, storages: 60, dispatches: 80)
        let limit = seed % 2 == 0 ? Int.max : 40_000
        let plan = try MemoryPlan(graph, maxArenaByteCount: limit)
        let lives = lifetimes(graph)
        let placed = plan.places.sorted { $0.key < $1.key }
        #expect(placed.count == lives.count)
        for (index, (a, placeA)) in placed.enumerated() {
            let bytesA = placeA.byteOffset..<(placeA.byteOffset + graph.storages[a].byteCount)
            #expect(bytesA.upperBound <= plan.arenaByteCounts[placeA.arena])
            #expect(placeA.byteOffset % 256 == 0)
            for (b, placeB) in placed[(index + 1)...]
            where placeA.arena == placeB.arena && lives[a]!.overlaps(lives[b]!) {
                let bytesB =
                    placeB.byteOffset..<(placeB.byteOffset + graph.storages[b].byteCount)
                #expect(!bytesA.overlaps(bytesB), "storages \(a) and \(b)")
            }
        }
        for byteCount in plan.arenaByteCounts { #expect(byteCount <= limit) }
    }

    @Test("a chain of equal tensors needs the room of two")
    func chainTakesTwo() throws {
        let graph = StepGraph()
        var tensor = graph.transient("t0", [1024], .float32)
        for index in 1...20 {
            let next = graph.transient("t\(index)", [1024], .float32)
            graph.recordCast(from: tensor, to: next)
            tensor = next
        }
        let plan = try MemoryPlan(graph)
        #expect(plan.byteCount == 2 * 4096)
        #expect(plan.unsharedByteCount == 21 * 4096)
    }

    @Test("a tensor larger than the device's largest allocation is refused by name")
    func tooLarge() throws {
        let graph = StepGraph()
        let a = graph.transient("huge", [100_000], .float32)
        graph.recordCast(from: a, to: graph.transient("other", [100_000], .float32))
        #expect {
            try MemoryPlan(graph, maxArenaByteCount: 100_000)
        } throws: { error in
            let error = error as? ForjaError
            return error?.code == .outOfMemory
                && (error?.message.contains("400128 bytes") ?? false)
        }
    }
}
