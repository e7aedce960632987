import CForja
import ForjaCore

/// The operands of one benchmarked call, by the names of its argument struct.
final class KernelOperands {
    enum Access {
        case reads
        /// Starts as NaN, so that what is not written shows.
        case writes
        /// Reads and writes again.
        case updates
    }

    /// What an operand starts as.
    enum Numbers {
        /// In [−1, 1).
        case uniform
        /// In [½, 1½).
        case positive
        /// Whole numbers in [0, n).
        case below(Int)
        case given([Float])
    }

    let queue: Queue
    private var tensors: [String: (numbers: NumberBuffer, access: Access)] = [:]
    private var random = SplitMix64()
    /// Bytes that the call must read and write, each once.
    private(set) var movedByteCount = 0

    init(on queue: Queue) { self.queue = queue }

    /// Makes an operand of `count` elements.
    ///
    /// - Parameter moved: Elements that the call must touch, where those are not all.
    func place(
        _ name: String, _ count: Int, _ dtype: forja_dtype, _ access: Access,
        _ numbers: Numbers = .uniform, moved: Int? = nil
    ) throws(ForjaError) -> forja_span {
        let dtype = DType(dtype)
        let start: [Float] =
            switch numbers {
            case _ where access == .writes: [Float](repeating: .nan, count: count)
            case .uniform: random.uniform(count)
            case .positive: random.uniform(count).map { 1 + $0 / 2 }
            case .below(let limit):
                (0..<count).map { _ in Float(random.next() % UInt64(limit)) }
            case .given(let values): values
            }
        let buffer = try NumberBuffer(start, as: dtype, on: queue)
        tensors[name] = (buffer, access)
        movedByteCount += (moved ?? count) * dtype.byteCount * (access == .updates ? 2 : 1)
        return buffer.span
    }

    /// What an operand started as.
    subscript(_ name: String) -> [Float] { tensors[name]!.numbers.start }

    /// What an operand holds now.
    func result(_ name: String) throws(ForjaError) -> [Float] { try tensors[name]!.numbers.read() }

    /// Gives what the call writes its start values again.
    func resetOutputs() throws(ForjaError) {
        for (buffer, access) in tensors.values where access != .reads { try buffer.reset() }
    }
}

extension DType {
    init(_ dtype: forja_dtype) {
        switch dtype {
        case FORJA_DTYPE_BF16: self = .bfloat16
        case FORJA_DTYPE_F16: self = .float16
        case FORJA_DTYPE_I32: self = .int32
        default: self = .float32
        }
    }
}
