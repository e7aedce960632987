import ForjaCore
import ForjaRuntime
import Foundation

/// Times each collective at each size, on every rank of a group at once.
public struct CollectiveBenchmark: Sendable {
    public enum Operation: String, Sendable, CaseIterable {
        case allReduce = "all-reduce"
        case reduceScatter = "reduce-scatter"
        case allGather = "all-gather"
        case broadcast
        case barrier

        /// Part of the bytes that one rank of `ranks` sends, on average.
        func sentShare(ranks: Int) -> Double {
            let others = Double(ranks - 1) / Double(ranks)
            return switch self {
            case .allReduce: 2 * others
            case .reduceScatter, .allGather, .broadcast: others
            case .barrier: 0
            }
        }
    }

    /// One collective at one size.
    public struct Row: Sendable {
        public let operation: Operation
        /// Bytes of each rank's array; 0 for a barrier.
        public let byteCount: Int
        /// Of each repetition: the time of the slowest rank, from a barrier on.
        public let seconds: [Double]
        /// What this rank has afterwards, after one call on `initialValues`.
        public let result: [UInt8]
        let ranks: Int

        public var medianSeconds: Double { seconds.sorted()[seconds.count / 2] }
        /// Bytes of the array by time.
        public var bytesPerSecond: Double { Double(byteCount) / medianSeconds }
        /// Bytes that each rank sends by time: what the link has to carry.
        public var sentBytesPerSecond: Double {
            bytesPerSecond * operation.sentShare(ranks: ranks)
        }
    }

    public let byteCounts: [Int]
    public let dtype: DType

    /// - Parameter dtype: float32 or bfloat16, for reductions.
    public init(byteCounts: [Int], dtype: DType) {
        self.byteCounts = byteCounts
        self.dtype = dtype
    }

    /// Runs everything; every rank calls it and gets the same times.
    ///
    /// - Parameter report: Called with each row as it is there.
    public func run(
        on collectives: Collectives, report: (Row) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        for operation in Operation.allCases {
            for byteCount in operation == .barrier ? [0] : byteCounts {
                try report(measure(operation, byteCount, on: collectives))
            }
        }
    }

    private func measure(
        _ operation: Operation, _ byteCount: Int, on collectives: Collectives
    ) throws(ForjaError) -> Row {
        var values = initialValues(byteCount, rank: collectives.rank)
        try call(operation, &values, on: collectives)
        let result = values
        var own: [Double] = []
        // As many on every rank: enough for a median, few where one takes long.
        for _ in 0..<min(max((64 << 20) / max(byteCount, 1), 5), 200) {
            try collectives.barrier()
            let start = DispatchTime.now().uptimeNanoseconds
            try call(operation, &values, on: collectives)
            own.append(Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9)
        }
        var slowest: [Double] = []
        for seconds in own { slowest.append(try collectives.gather(seconds).max()!) }
        return Row(
            operation: operation, byteCount: byteCount, seconds: slowest, result: result,
            ranks: collectives.rankCount)
    }

    private func call(
        _ operation: Operation, _ bytes: inout [UInt8], on collectives: Collectives
    ) throws(ForjaError) {
        try bytes.withUnsafeMutableBufferPointer { elements throws(ForjaError) in
            let bytes = UnsafeMutableRawBufferPointer(elements)
            switch operation {
            case .allReduce: try collectives.allReduce(bytes, dtype: dtype)
            case .reduceScatter: try collectives.reduceScatter(bytes, dtype: dtype)
            case .allGather: try collectives.allGather(bytes, dtype: dtype)
            case .broadcast: try collectives.broadcast(bytes)
            case .barrier: try collectives.barrier()
            }
        }
    }

    /// Numbers between -1 and 1 that no two ranks share and whose sum depends on its order.
    private func initialValues(_ byteCount: Int, rank: Int) -> [UInt8] {
        let random = CounterRandom(seed: 1, purpose: .data, stream: UInt32(rank))
        let values = (0..<byteCount / dtype.byteCount).map {
            Float(random.words(at: UInt64($0)).x) / 2_147_483_648 - 1
        }
        return dtype == .bfloat16
            ? values.map(bfloat16Bits).withUnsafeBytes { Array($0) }
            : values.withUnsafeBytes { Array($0) }
    }
}
