import CForja
import ForjaCore

/// Buffers of one call on one device: random inputs, and outputs that start as 0, or as random numbers
/// where the call adds to them.
final class TuningOperands {
    private struct Operand {
        let numbers: NumberBuffer
        let isOutput: Bool
        /// How far an output may be off: absolute, and relative to its largest value.
        let slack: (absolute: Float, relative: Float)
    }

    private let queue: Queue
    private var operands: [Operand] = []
    private var launch: () -> forja_status = { FORJA_OK }
    /// Work that makes inputs out of other inputs, on the host alone.
    private var preparation: () -> forja_status = { FORJA_OK }
    private var random = SplitMix64()

    init(_ call: VariantCall, on queue: Queue) throws(ForjaError) {
        self.queue = queue
        switch call.arguments {
        case .matmul(let arguments): try bind(arguments)
        case .attentionForward(let arguments):
            let bound = try bind(arguments, isBackward: false)
            launch = { withUnsafePointer(to: bound) { forja_attention_forward(queue.handle, $0) } }
        case .attentionBackward(let arguments): try bind(arguments)
        }
    }

    /// Computes the inputs that come out of a forward pass.
    func prepare() throws(ForjaError) {
        try engineCheck(preparation())
        try queue.finish()
    }

    func run() throws(ForjaError) { try engineCheck(launch()) }

    func copyInputs(from other: TuningOperands) throws(ForjaError) {
        for (mine, theirs) in zip(operands, other.operands) where !mine.isOutput {
            try mine.numbers.write(theirs.numbers.read())
        }
    }

    func resetOutputs() throws(ForjaError) {
        for operand in operands where operand.isOutput { try operand.numbers.reset() }
    }

    func readOutputs() throws(ForjaError) -> [(values: [Float], slacks: [Float])] {
        var outputs: [(values: [Float], slacks: [Float])] = []
        for operand in operands where operand.isOutput {
            let values = try operand.numbers.read()
            let largest = values.reduce(0) { max($0, abs($1)) }
            let slack = operand.slack.absolute + operand.slack.relative * largest
            outputs.append((values, [Float](repeating: slack, count: values.count)))
        }
        return outputs
    }

    // MARK: Binding

    private func bind(_ arguments: forja_matmul_args) throws(ForjaError) {
        var x = arguments
        let (m, n, k) = (Int(x.m), Int(x.n), Int(x.k))
        let (a, b) =
            switch x.layout {
            case FORJA_MATMUL_TN: ((rows: k, width: m), (rows: k, width: n))
            case FORJA_MATMUL_NT: ((rows: m, width: k), (rows: n, width: k))
            default: ((rows: m, width: k), (rows: k, width: n))
            }
        func count(_ rows: Int, _ width: Int, _ stride: UInt64, _ batchStride: UInt64) -> Int {
            (rows - 1) * Int(stride) + width + (Int(x.batch_count) - 1) * Int(batchStride)
        }
        let (input, output) = (DType(x.input_dtype), DType(x.output_dtype))
        x.a = try place(count(a.rows, a.width, x.lda, x.a_stride), input)
        x.b = try place(count(b.rows, b.width, x.ldb, x.b_stride), input)
        // k terms of at most 1, a quarter on average: a sum's error walks as √k · 2⁻²⁴, a dropped
        // term is far above the slack.
        x.c = try place(
            count(m, n, x.ldc, x.c_stride), output, addsTo: x.accumulate,
            slack: (Float(k) * 0x1p-20 + 0x1p-20, output == .float32 ? 0x1p-20 : 0x1p-8))
        let bound = x
        launch = { [queue] in withUnsafePointer(to: bound) { forja_matmul(queue.handle, $0) } }
    }

    private func bind(
        _ arguments: forja_attention_args, isBackward: Bool
    ) throws(ForjaError) -> forja_attention_args {
        var x = arguments
        let dtype = DType(x.dtype)
        func count(_ length: UInt32, _ stride: UInt64) -> Int {
            Int(x.batch) * Int(length) * Int(stride)
        }
        // Outputs are means of values below 1; scores err by a few units of 2⁻²⁴.
        let slack: (Float, Float) = dtype == .float32 ? (0x1p-15, 0) : (0x1p-7, 0)
        x.q = try place(count(x.query_length, x.q_row_stride), dtype)
        x.k = try place(count(x.key_length, x.k_row_stride), dtype)
        x.v = try place(count(x.key_length, x.v_row_stride), dtype)
        x.out = try place(
            count(x.query_length, x.out_row_stride), dtype, isOutput: !isBackward, slack: slack)
        x.lse = try place(
            Int(x.batch) * Int(x.heads) * Int(x.query_length), .float32, isOutput: !isBackward,
            slack: (0x1p-14, 0))
        x.document_start = forja_span()
        if x.query_offset.buffer != nil || x.query_length != x.key_length {
            x.query_offset = try placeOffsets(
                batch: Int(x.batch), Int32(x.key_length) - Int32(x.query_length))
        }
        return x
    }

    private func bind(_ arguments: forja_attention_backward_args) throws(ForjaError) {
        var x = arguments
        x.forward = try bind(x.forward, isBackward: true)
        let dtype = DType(x.forward.dtype)
        let rows = Int(x.forward.batch) * Int(x.forward.query_length)
        let slack: (Float, Float) = dtype == .float32 ? (0x1p-18, 0x1p-15) : (0x1p-9, 0x1p-7)
        x.d_out = try place(rows * Int(x.forward.out_row_stride), dtype)
        x.dq = try place(rows * Int(x.dq_row_stride), dtype, isOutput: true, slack: slack)
        x.dk = try place(rows * Int(x.dk_row_stride), dtype, isOutput: true, slack: slack)
        x.dv = try place(rows * Int(x.dv_row_stride), dtype, isOutput: true, slack: slack)
        let bound = x
        launch = { [queue] in
            withUnsafePointer(to: bound) { forja_attention_backward(queue.handle, $0) }
        }
        preparation = { [queue] in
            withUnsafePointer(to: bound.forward) { forja_attention_forward(queue.handle, $0) }
        }
    }

    /// A buffer of numbers in [−1, 1).
    private func place(
        _ count: Int, _ dtype: DType, addsTo: Bool? = nil, isOutput: Bool = false,
        slack: (Float, Float) = (0, 0)
    ) throws(ForjaError) -> forja_span {
        let isOutput = isOutput || addsTo != nil
        // Not NaN: elements between rows are never written, and are compared like the others.
        let start =
            isOutput && addsTo != true
            ? [Float](repeating: 0, count: count) : random.uniform(count)
        return try add(start, dtype, isOutput: isOutput, slack: slack)
    }

    private func placeOffsets(batch: Int, _ offset: Int32) throws(ForjaError) -> forja_span {
        try add([Float](repeating: Float(offset), count: batch), .int32)
    }

    private func add(
        _ start: [Float], _ dtype: DType, isOutput: Bool = false, slack: (Float, Float) = (0, 0)
    ) throws(ForjaError) -> forja_span {
        let numbers = try NumberBuffer(start, as: dtype, on: queue)
        operands.append(Operand(numbers: numbers, isOutput: isOutput, slack: slack))
        return numbers.span
    }
}
