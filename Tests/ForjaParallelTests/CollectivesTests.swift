import ForjaCore
import ForjaParallel
import ForjaRuntime
import Foundation
import Synchronization
import Testing

/// Runs `body` on ranks and gives what each returned.
func onRanks<Result: Sendable>(
    _ count: Int, timeoutSeconds: Double = 60,
    _ body: @escaping @Sendable (Collectives) throws(ForjaError) -> Result
) throws -> [Result] {
    try InProcessRanks.run(count: count, timeoutSeconds: timeoutSeconds) {
        communicator throws(ForjaError) in try body(Collectives(communicator))
    }
}

/// Values of rank `rank`: of many sizes, so that another order of summation gives other bits.
private func values(rank: Int, count: Int) -> [Float] {
    let random = CounterRandom(seed: 7, purpose: .data, stream: UInt32(rank))
    return (0..<count).map {
        let word = random.words(at: UInt64($0))
        return (Float(word.x) / 65_536 - 32_768)
            * Float(sign: .plus, exponent: Int(word.y % 20), significand: 1)
    }
}

/// The sum in rank order, element by element: the definition.
private func sumInRankOrder(ranks: Int, count: Int, _ convert: (Float) -> Float) -> [Float] {
    let all = (0..<ranks).map { values(rank: $0, count: count).map(convert) }
    return (0..<count).map { i in all.dropFirst().reduce(all[0][i]) { $0 + $1[i] } }
}

private func widened(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

@Suite("Collectives of ranks in one process")
struct CollectivesTests {
    static let sizes = [0, 1, 63, 64, 65, 1000, 1025, 40_000]

    @Test(
        "an all-reduce is the sum in rank order, on every rank, to the bit", arguments: sizes, 1...4
    )
    func allReduce(count: Int, ranks: Int) throws {
        let expected = sumInRankOrder(ranks: ranks, count: count) { $0 }
        let results = try onRanks(ranks) { collectives throws(ForjaError) in
            var own = values(rank: collectives.rank, count: count)
            try own.withUnsafeMutableBufferPointer { own throws(ForjaError) in
                try collectives.allReduce(UnsafeMutableRawBufferPointer(own), dtype: .float32)
            }
            return own
        }
        for result in results { #expect(result == expected) }
    }

    @Test("bfloat16 is summed in float32 and rounded once", arguments: [1, 65, 3000], 2...4)
    func allReduceBFloat16(count: Int, ranks: Int) throws {
        let expected = sumInRankOrder(ranks: ranks, count: count) { widened(bfloat16Bits($0)) }
            .map(bfloat16Bits)
        let results = try onRanks(ranks) { collectives throws(ForjaError) in
            var own = values(rank: collectives.rank, count: count).map(bfloat16Bits)
            try own.withUnsafeMutableBufferPointer { own throws(ForjaError) in
                try collectives.allReduce(UnsafeMutableRawBufferPointer(own), dtype: .bfloat16)
            }
            return own
        }
        for result in results { #expect(result == expected) }
    }

    @Test("a reduce-scatter sums a rank's own chunk and leaves the others", arguments: sizes, 2...4)
    func reduceScatter(count: Int, ranks: Int) throws {
        let expected = sumInRankOrder(ranks: ranks, count: count) { $0 }
        let results = try onRanks(ranks) { collectives throws(ForjaError) in
            var own = values(rank: collectives.rank, count: count)
            try own.withUnsafeMutableBufferPointer { own throws(ForjaError) in
                try collectives.reduceScatter(UnsafeMutableRawBufferPointer(own), dtype: .float32)
            }
            return own
        }
        for (rank, result) in results.enumerated() {
            let chunk = RankChunks(elementCount: count, rankCount: ranks)[rank]
            let before = values(rank: rank, count: count)
            #expect(result[chunk] == expected[chunk])
            #expect(result[..<chunk.lowerBound] == before[..<chunk.lowerBound])
            #expect(result[chunk.upperBound...] == before[chunk.upperBound...])
        }
    }

    @Test("an all-gather takes each chunk from the rank it belongs to", arguments: sizes, 1...4)
    func allGather(count: Int, ranks: Int) throws {
        let chunks = RankChunks(elementCount: count, rankCount: ranks)
        let results = try onRanks(ranks) { collectives throws(ForjaError) in
            var own = values(rank: collectives.rank, count: count)
            try own.withUnsafeMutableBufferPointer { own throws(ForjaError) in
                try collectives.allGather(UnsafeMutableRawBufferPointer(own), dtype: .float32)
            }
            return own
        }
        for result in results {
            for rank in 0..<ranks {
                #expect(result[chunks[rank]] == values(rank: rank, count: count)[chunks[rank]])
            }
        }
    }

    @Test("a broadcast copies the root's bytes", arguments: 0..<3)
    func broadcast(root: Int) throws {
        let results = try onRanks(3) { collectives throws(ForjaError) in
            var own = values(rank: collectives.rank, count: 777)
            try own.withUnsafeMutableBufferPointer { own throws(ForjaError) in
                try collectives.broadcast(UnsafeMutableRawBufferPointer(own), from: root)
            }
            return own
        }
        for result in results { #expect(result == values(rank: root, count: 777)) }
    }

    @Test("values and texts of different lengths come in rank order")
    func gather() throws {
        let results = try onRanks(4) { collectives throws(ForjaError) in
            let numbers = try collectives.gather(collectives.rank * 10)
            let texts = try collectives.gather(String(repeating: "é", count: collectives.rank))
            return (numbers, texts)
        }
        for result in results {
            #expect(result.0 == [0, 10, 20, 30])
            #expect(result.1 == ["", "é", "éé", "ééé"])
        }
    }

    @Test("no rank leaves a barrier before the last has come")
    func barrier() throws {
        let arrived = Atomic<Int>(0)
        let seen = try onRanks(4) { collectives throws(ForjaError) in
            Thread.sleep(forTimeInterval: Double(collectives.rank) * 0.02)
            arrived.add(1, ordering: .sequentiallyConsistent)
            try collectives.barrier()
            return arrived.load(ordering: .sequentiallyConsistent)
        }
        #expect(seen == [4, 4, 4, 4])
    }

    @Test("chunks cover the elements in order and start at whole blocks", arguments: sizes, 1...5)
    func chunks(count: Int, ranks: Int) {
        let chunks = RankChunks(elementCount: count, rankCount: ranks)
        var next = 0
        for rank in 0..<ranks {
            #expect(chunks[rank].lowerBound == next)
            #expect(chunks[rank].isEmpty || chunks[rank].lowerBound % RankChunks.block == 0)
            next = chunks[rank].upperBound
        }
        #expect(next == count)
    }
}

@Suite("Meshes of ranks")
struct MeshTests {
    @Test("a mesh of data 2 × tensor 2 sums over its own groups only")
    func groups() throws {
        let mesh = Mesh(data: 2, tensor: 2)
        let results = try InProcessRanks.run(count: 4, timeoutSeconds: 60) {
            communicator throws(ForjaError) in
            let rank = try MeshRank(mesh: mesh, world: communicator)
            return (
                try rank.data.gather(rank.rank), try rank.tensor.gather(rank.rank),
                try rank.world.gather(rank.rank)
            )
        }
        for (rank, result) in results.enumerated() {
            #expect(result.0 == [rank % 2, rank % 2 + 2])
            #expect(result.1 == [rank / 2 * 2, rank / 2 * 2 + 1])
            #expect(result.2 == [0, 1, 2, 3])
        }
    }

    @Test("a mesh of another size than the ranks is refused with both numbers")
    func wrongSize() {
        let error = #expect(throws: ForjaError.self) {
            try InProcessRanks.run(count: 3, timeoutSeconds: 60) {
                communicator throws(ForjaError) in
                _ = try MeshRank(mesh: Mesh(data: 2, tensor: 2), world: communicator)
            }
        }
        #expect(error?.message.contains("4 ranks, and there are 3") == true)
    }
}

@Suite("Ranks that fail")
struct RankFailureTests {
    @Test("every other rank throws, and names the rank, step and reason")
    func failure() {
        let messages = Mutex<[String]>([])
        let error = #expect(throws: ForjaError.self) {
            try onRanks(3) { collectives throws(ForjaError) in
                collectives.progress.begin(step: 7)
                try collectives.barrier()
                if collectives.rank == 1 {
                    throw ForjaError(.device, "the device went away")
                }
                do throws(ForjaError) {
                    try collectives.barrier()
                } catch {
                    messages.withLock { $0.append(error.message) }
                    throw error
                }
            }
        }
        #expect(error?.code == .device)
        let seen = messages.withLock { $0 }
        #expect(seen.count == 2)
        for message in seen {
            #expect(message.contains("rank 1 on"))
            #expect(message.contains("step 7"))
            #expect(message.contains("the device went away"))
        }
    }

    @Test("a failure reaches ranks that wait in another group")
    func failureAcrossGroups() {
        let mesh = Mesh(data: 2, tensor: 2)
        let error = #expect(throws: ForjaError.self) {
            try InProcessRanks.run(count: 4, timeoutSeconds: 60) {
                communicator throws(ForjaError) in
                let rank = try MeshRank(mesh: mesh, world: communicator)
                if rank.rank == 3 { throw ForjaError(.notFinite, "loss is NaN") }
                // Ranks 0 and 1 meet each other; rank 2 waits for rank 3.
                for _ in 0..<1_000_000 { try rank.tensor.barrier() }
            }
        }
        #expect(error?.code == .notFinite)
    }

    @Test("a rank that stays away is named after the timeout")
    func absence() {
        let error = #expect(throws: ForjaError.self) {
            try onRanks(3, timeoutSeconds: 0.3) { collectives throws(ForjaError) in
                collectives.progress.begin(step: 4)
                if collectives.rank == 2 {
                    Thread.sleep(forTimeInterval: 1)
                    return
                }
                try collectives.barrier()
            }
        }
        #expect(error?.code == .rankFailed)
        #expect(error?.message.contains("rank 2 on") == true)
        #expect(error?.message.contains("step 4") == true)
        #expect(error?.message.contains("rank 1 on") == false)
    }

    @Test("ranks that make different calls are told so")
    func divergence() {
        let error = #expect(throws: ForjaError.self) {
            try onRanks(2) { collectives throws(ForjaError) in
                if collectives.rank == 0 {
                    try collectives.barrier()
                } else {
                    _ = try collectives.gather(1)
                }
            }
        }
        #expect(error?.message.contains("do not do the same") == true)
        #expect(error?.message.contains("barrier") == true)
        #expect(error?.message.contains("all-gather") == true)
    }
}
