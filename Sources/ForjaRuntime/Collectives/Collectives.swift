import ForjaCore

/// Collective operations of one group of ranks, on host memory.
///
/// A reduction is an all-to-all of chunks, a float32 sum of each chunk in rank order, and an all-gather: each rank sends
/// and receives what a ring would, and the result depends on neither the implementation below nor on who comes first. So
/// the same group gives the same bits in one process and under any MPI, and every rank gets the same.
///
/// A group of one does nothing, so that code for one device needs no branches. Calls follow the rules of `Communicator`:
/// the same calls in the same order on every rank, one thread at a time.
public final class Collectives: Sendable {
    public let communicator: any Communicator

    public init(_ communicator: any Communicator = SingleRank()) {
        self.communicator = communicator
    }

    public var rank: Int { communicator.rank }
    public var rankCount: Int { communicator.rankCount }
    public var progress: RankProgress { communicator.progress }

    /// Replaces this rank's chunk of `values` by its sum over all ranks. The other chunks stay this rank's own.
    ///
    /// - Parameters:
    ///   - values: Elements of `dtype`, as many on every rank.
    ///   - dtype: float32 or bfloat16.
    ///   - block: Elements of a chunk are a multiple of it, as `RankChunks` says.
    public func reduceScatter(
        _ values: UnsafeMutableRawBufferPointer, dtype: DType, block: Int = RankChunks.block
    ) throws(ForjaError) {
        let chunks = chunks(of: values, dtype, block)
        guard rankCount > 1, chunks.elementCount > 0 else { return }
        progress.beginCollective()
        let own = chunks[rank]
        try communicator.exchange(
            UnsafeRawBufferPointer(values),
            bounds: chunks.byteBounds(elementSize: dtype.byteCount)
        ) { received in
            guard !own.isEmpty else { return }
            let start = own.lowerBound * dtype.byteCount
            RankOrderSum.add(
                received,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: values[start..<start + own.count * dtype.byteCount]),
                dtype: dtype)
        }
    }

    /// Gives every rank all chunks of `values`, each from the rank it belongs to by `RankChunks`.
    public func allGather(
        _ values: UnsafeMutableRawBufferPointer, dtype: DType, block: Int = RankChunks.block
    ) throws(ForjaError) {
        let chunks = chunks(of: values, dtype, block)
        guard rankCount > 1, chunks.elementCount > 0 else { return }
        progress.beginCollective()
        try communicator.allGather(
            values, bounds: chunks.byteBounds(elementSize: dtype.byteCount))
    }

    /// Replaces `values` by their sum over all ranks, in rank order.
    public func allReduce(
        _ values: UnsafeMutableRawBufferPointer, dtype: DType
    ) throws(ForjaError) {
        try reduceScatter(values, dtype: dtype)
        try allGather(values, dtype: dtype)
    }

    /// Copies rank `root`'s bytes to every rank.
    public func broadcast(
        _ bytes: UnsafeMutableRawBufferPointer, from root: Int = 0
    ) throws(ForjaError) {
        precondition((0..<rankCount).contains(root))
        guard rankCount > 1, bytes.count > 0 else { return }
        progress.beginCollective()
        try communicator.broadcast(bytes, from: root)
    }

    /// Returns when every rank has called it.
    public func barrier() throws(ForjaError) {
        guard rankCount > 1 else { return }
        progress.beginCollective()
        try communicator.barrier()
    }

    // MARK: Small things of the host

    /// One value from every rank, in rank order.
    public func gather<Value: BitwiseCopyable>(_ value: Value) throws(ForjaError) -> [Value] {
        guard rankCount > 1 else { return [value] }
        progress.beginCollective()
        var values = Array(repeating: value, count: rankCount)
        let size = MemoryLayout<Value>.stride
        try values.withUnsafeMutableBufferPointer { values throws(ForjaError) in
            try communicator.allGather(
                UnsafeMutableRawBufferPointer(values), bounds: (0...rankCount).map { $0 * size })
        }
        return values
    }

    /// Sum of a whole number over the ranks.
    public func sum(_ value: Int) throws(ForjaError) -> Int {
        rankCount > 1 ? try gather(value).reduce(0, +) : value
    }

    /// A text from every rank, in rank order: hashes, paths, checksums.
    public func gather(_ text: String) throws(ForjaError) -> [String] {
        guard rankCount > 1 else { return [text] }
        let own = Array(text.utf8)
        let counts = try gather(own.count)
        var bounds = [0]
        for count in counts { bounds.append(bounds.last! + count) }
        var bytes = [UInt8](repeating: 0, count: bounds.last!)
        bytes.replaceSubrange(bounds[rank]..<bounds[rank + 1], with: own)
        if bytes.isEmpty { return counts.map { _ in "" } }
        progress.beginCollective()
        let ends = bounds
        try bytes.withUnsafeMutableBufferPointer { bytes throws(ForjaError) in
            try communicator.allGather(UnsafeMutableRawBufferPointer(bytes), bounds: ends)
        }
        return (0..<rankCount).map {
            String(decoding: bytes[bounds[$0]..<bounds[$0 + 1]], as: UTF8.self)
        }
    }

    private func chunks(
        of values: UnsafeMutableRawBufferPointer, _ dtype: DType, _ block: Int
    ) -> RankChunks {
        RankChunks(
            elementCount: values.count / dtype.byteCount, rankCount: rankCount, block: block)
    }
}
