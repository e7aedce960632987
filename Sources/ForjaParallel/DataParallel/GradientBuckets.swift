import ForjaRuntime

/// Which parameters' gradients lie together in which contiguous bucket, and which part of each bucket is a rank's.
///
/// A bucket is reduced as soon as the backward pass has finished the last of its gradients, so parameters go into buckets
/// in the order in which the backward pass finishes them. With ZeRO-1 every bucket is cut into one **shard** a rank: the
/// rank's part of the reduced gradient, of the optimizer's state and of the update.
///
///     bucket 0   |final norm|head . . . . . . . . .|   reduced first
///     shards      rank 0     |rank 1     |rank 2
public struct GradientBuckets: Sendable {
    /// Where a parameter's gradient lies.
    public struct Slot: Hashable, Sendable {
        public let bucket: Int
        /// First element in the bucket.
        public let offset: Int
        public let elementCount: Int
    }

    /// Elements of one parameter that belong to one rank.
    public struct Piece: Hashable, Sendable {
        public let parameter: Int
        /// Within the parameter.
        public let elements: Range<Int>
        public let bucket: Int
        /// First element in the bucket.
        public let offset: Int
    }

    /// By parameter.
    public let slots: [Slot]
    /// Elements of each bucket, a multiple of `RankChunks.block`; between parameters and at the end some belong to none.
    public let elementCounts: [Int]

    /// - Parameters:
    ///   - elementCounts: By parameter.
    ///   - completionOrder: Every parameter once, in the order in which backward finishes their gradients.
    ///   - leastElementCount: A bucket is closed once it has so many; a parameter of so many has one of its own.
    public init(elementCounts: [Int], completionOrder: [Int], leastElementCount: Int) {
        precondition(completionOrder.sorted() == Array(elementCounts.indices))
        var slots = [Slot?](repeating: nil, count: elementCounts.count)
        var buckets: [Int] = []
        var isOpen = false
        for parameter in completionOrder {
            // One that fills a bucket waits for no other and is not waited for: a tied embedding, which backward finishes
            // last and the next forward pass reads first.
            if !isOpen || elementCounts[parameter] >= leastElementCount { buckets.append(0) }
            let bucket = buckets.count - 1
            slots[parameter] = Slot(
                bucket: bucket, offset: buckets[bucket], elementCount: elementCounts[parameter])
            // Every parameter starts where kernels find it aligned.
            let block = RankChunks.block
            buckets[bucket] += (elementCounts[parameter] + block - 1) / block * block
            isOpen = buckets[bucket] < leastElementCount
        }
        self.slots = slots.map { $0! }
        self.elementCounts = buckets
    }

    /// Bucket size that gives a model some eight buckets, so that most of the reduction runs beside the backward pass,
    /// of at most 32 MB of float32, and not so small that latency counts.
    public static func leastElementCount(total: Int) -> Int {
        min(max(total / 8, 65_536), 8_388_608)
    }

    /// A rank's shard of a bucket.
    public func shard(of bucket: Int, rank: Int, rankCount: Int) -> Range<Int> {
        RankChunks(elementCount: elementCounts[bucket], rankCount: rankCount)[rank]
    }

    /// What a rank updates with ZeRO-1: its shards cut at the parameters' bounds, by parameter.
    public func pieces(rank: Int, rankCount: Int) -> [Piece] {
        slots.enumerated().compactMap { parameter, slot in
            let shard = shard(of: slot.bucket, rank: rank, rankCount: rankCount)
            let start = max(shard.lowerBound, slot.offset)
            let end = min(shard.upperBound, slot.offset + slot.elementCount)
            guard start < end else { return nil }
            return Piece(
                parameter: parameter, elements: start - slot.offset..<end - slot.offset,
                bucket: slot.bucket, offset: start)
        }
    }
}
