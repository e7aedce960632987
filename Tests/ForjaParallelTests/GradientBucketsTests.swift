import ForjaParallel
import ForjaRuntime
import Testing

@Suite("Gradient buckets")
struct GradientBucketsTests {
    static let counts = [1000, 48, 4608, 48, 9216, 65]
    static let order = [5, 3, 4, 1, 2, 0]

    @Test(
        "parameters lie in the order of completion, none over another",
        arguments: [1, 3000, 100_000])
    func layout(least: Int) {
        let buckets = GradientBuckets(
            elementCounts: Self.counts, completionOrder: Self.order, leastElementCount: least)
        var last = (bucket: 0, end: 0)
        for parameter in Self.order {
            let slot = buckets.slots[parameter]
            #expect(slot.elementCount == Self.counts[parameter])
            #expect(slot.offset % RankChunks.block == 0)
            #expect(
                slot.bucket == last.bucket
                    ? slot.offset >= last.end : slot.bucket == last.bucket + 1 && slot.offset == 0)
            last = (slot.bucket, slot.offset + slot.elementCount)
            #expect(last.end <= buckets.elementCounts[slot.bucket])
        }
        // A bucket is closed short only before a parameter that fills the next by itself.
        for (bucket, next) in zip(
            buckets.elementCounts.indices, buckets.elementCounts.indices.dropFirst())
        where buckets.elementCounts[bucket] < least {
            let filling = Self.order.first { buckets.slots[$0].bucket == next }!
            #expect(Self.counts[filling] >= least)
        }
        #expect(
            Self.counts.indices.allSatisfy { parameter in
                Self.counts[parameter] < least || buckets.slots[parameter].offset == 0
            })
    }

    @Test("the ranks' pieces are every element once", arguments: 1...5)
    func pieces(ranks: Int) {
        let buckets = GradientBuckets(
            elementCounts: Self.counts, completionOrder: Self.order, leastElementCount: 3000)
        var owners = Self.counts.map { Array(repeating: 0, count: $0) }
        for rank in 0..<ranks {
            for piece in buckets.pieces(rank: rank, rankCount: ranks) {
                let slot = buckets.slots[piece.parameter]
                #expect(piece.bucket == slot.bucket)
                #expect(piece.offset == slot.offset + piece.elements.lowerBound)
                let shard = buckets.shard(of: piece.bucket, rank: rank, rankCount: ranks)
                #expect(shard.contains(piece.offset))
                #expect(shard.contains(piece.offset + piece.elements.count - 1))
                for element in piece.elements { owners[piece.parameter][element] += 1 }
            }
        }
        #expect(owners.allSatisfy { $0.allSatisfy { $0 == 1 } })
    }
}
