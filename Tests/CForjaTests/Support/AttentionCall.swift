import CForja
import Testing

/// Random Q, K, V and dOut for a shape, dense and rounded to the storage type.
struct AttentionInputs {
    let shape: AttentionShape
    var q, k, v, dOut: [Double]

    init(_ shape: AttentionShape, _ storage: Storage, seed: UInt64) {
        self.shape = shape
        var random = TestRandom(seed: seed)
        // Three wide, so that scores differ enough for the softmax to be far from even.
        q = random.values(shape.queryCount, as: storage, scale: 3)
        k = random.values(shape.keyCount, as: storage)
        v = random.values(shape.keyCount, as: storage)
        dOut = random.values(shape.queryCount, as: storage)
    }

    /// Puts NaN into every key and value past the last row's last visible one.
    mutating func poisonUnseenKeys() {
        let width = shape.keyValueHeads * shape.headDim
        for b in 0..<shape.batch {
            let seen = shape.visibleKeys(b, shape.queryLength - 1).upperBound + 1
            for index in (b * shape.keyLength + seen) * width..<(b + 1) * shape.keyLength * width {
                k[index] = .nan
                v[index] = .nan
            }
        }
    }
}

/// The scalar part of a call on dense tensors; spans are empty.
func attentionArgs(_ shape: AttentionShape, _ storage: Storage) -> forja_attention_args {
    var args = forja_attention_args()
    args.dtype = storage.dtype
    args.batch = UInt32(shape.batch)
    args.query_length = UInt32(shape.queryLength)
    args.key_length = UInt32(shape.keyLength)
    args.heads = UInt32(shape.heads)
    args.key_value_heads = UInt32(shape.keyValueHeads)
    args.head_dim = UInt32(shape.headDim)
    let queryWidth = UInt64(shape.heads * shape.headDim)
    let keyWidth = UInt64(shape.keyValueHeads * shape.headDim)
    (args.q_row_stride, args.out_row_stride) = (queryWidth, queryWidth)
    (args.k_row_stride, args.v_row_stride) = (keyWidth, keyWidth)
    args.scale = Float(shape.scale)
    return args
}

/// Tensors of one attention call at a workbench, dense or fused into one `[B, T, H + 2G, D]` with a
/// gap of three elements after each row; outputs start as NaN.
final class AttentionCall {
    let out: GuardedTensor
    let lse: GuardedTensor
    private let bench: Workbench
    private let shape: AttentionShape
    private let storage: Storage
    private let fused: FusedLayout?
    private var args: forja_attention_args
    private var gradientTensors: [GuardedTensor] = []

    convenience init(
        _ shape: AttentionShape, _ storage: Storage, _ inputs: AttentionInputs, fused: Bool = false,
        at bench: Workbench
    ) throws {
        try self.init(
            shape, storage, q: inputs.q, k: inputs.k, v: inputs.v, fused: fused, at: bench)
    }

    init(
        _ shape: AttentionShape, _ storage: Storage, q: [Double], k: [Double], v: [Double],
        fused isFused: Bool = false, at bench: Workbench
    ) throws {
        self.bench = bench
        self.shape = shape
        self.storage = storage
        args = attentionArgs(shape, storage)
        if isFused {
            let layout = FusedLayout(shape)
            let qkv = try bench.tensor(layout.scatter(q: q, k: k, v: v), as: storage)
            args.q = qkv.span(at: 0)
            args.k = qkv.span(at: layout.keyStart)
            args.v = qkv.span(at: layout.valueStart)
            let stride = UInt64(layout.rowStride)
            (args.q_row_stride, args.k_row_stride, args.v_row_stride) = (stride, stride, stride)
            fused = layout
        } else {
            args.q = try bench.tensor(q, as: storage).span
            args.k = try bench.tensor(k, as: storage).span
            args.v = try bench.tensor(v, as: storage).span
            fused = nil
        }
        out = try bench.poisoned(shape.queryCount, as: storage)
        lse = try bench.poisoned(shape.batch * shape.heads * shape.queryLength, as: .f32)
        args.out = out.span
        args.lse = lse.span
        if let starts = shape.documentStart {
            args.document_start = try bench.integers(starts).span
        }
        if let offset = shape.queryOffset { args.query_offset = try bench.integers(offset).span }
    }

    func runForward() throws {
        let bytes = forja_attention_forward_workspace_bytes(bench.device.device, &args)
        try bench.run(workspaceBytes: bytes) { forja_attention_forward($0, &args) }
    }

    /// Queues the backward pass on what the forward pass left, and waits.
    func queueBackward(dOut: [Double]) throws {
        var backward = forja_attention_backward_args()
        backward.forward = args
        backward.d_out = try bench.tensor(dOut, as: storage).span
        if let fused {
            let gradient = try bench.poisoned(fused.elementCount, as: storage)
            gradientTensors = [gradient]
            backward.dq = gradient.span(at: 0)
            backward.dk = gradient.span(at: fused.keyStart)
            backward.dv = gradient.span(at: fused.valueStart)
            let stride = UInt64(fused.rowStride)
            backward.dq_row_stride = stride
            backward.dk_row_stride = stride
            backward.dv_row_stride = stride
        } else {
            gradientTensors = try [shape.queryCount, shape.keyCount, shape.keyCount].map {
                try bench.poisoned($0, as: storage)
            }
            backward.dq = gradientTensors[0].span
            backward.dk = gradientTensors[1].span
            backward.dv = gradientTensors[2].span
            backward.dq_row_stride = args.out_row_stride
            backward.dk_row_stride = UInt64(shape.keyValueHeads * shape.headDim)
            backward.dv_row_stride = backward.dk_row_stride
        }
        let bytes = forja_attention_backward_workspace_bytes(bench.device.device, &backward)
        try bench.run(workspaceBytes: bytes) { forja_attention_backward($0, &backward) }
    }

    func runBackward(dOut: [Double]) throws -> (dq: [Double], dk: [Double], dv: [Double]) {
        try queueBackward(dOut: dOut)
        let stored = try gradientTensors.map { try $0.values() }
        guard let fused else { return (stored[0], stored[1], stored[2]) }
        #expect(fused.gaps(in: stored[0]).areAllNaN, "wrote between rows")
        return fused.gather(stored[0])
    }

    func gradientBytes() throws -> [UInt8] { try gradientTensors.flatMap { try $0.bytes() } }
}

/// `[B, T, H + 2G, D]` with a gap after each row: query heads, then keys, then values.
private struct FusedLayout {
    private let rows: Int
    private let queryWidth: Int
    private let keyWidth: Int
    private let gap = 3

    init(_ shape: AttentionShape) {
        rows = shape.batch * shape.queryLength
        queryWidth = shape.heads * shape.headDim
        keyWidth = shape.keyValueHeads * shape.headDim
    }

    var keyStart: Int { queryWidth }
    var valueStart: Int { queryWidth + keyWidth }
    var rowStride: Int { queryWidth + 2 * keyWidth + gap }
    var elementCount: Int { rows * rowStride }

    func scatter(q: [Double], k: [Double], v: [Double]) -> [Double] {
        let gapValues = [Double](repeating: .nan, count: gap)
        var stored: [Double] = []
        for row in 0..<rows {
            stored += q[row * queryWidth..<(row + 1) * queryWidth]
            stored += k[row * keyWidth..<(row + 1) * keyWidth]
            stored += v[row * keyWidth..<(row + 1) * keyWidth]
            stored += gapValues
        }
        return stored
    }

    func gather(_ stored: [Double]) -> (dq: [Double], dk: [Double], dv: [Double]) {
        func columns(from start: Int, width: Int) -> [Double] {
            (0..<rows).flatMap { stored[$0 * rowStride + start..<$0 * rowStride + start + width] }
        }
        return (
            columns(from: 0, width: queryWidth), columns(from: keyStart, width: keyWidth),
            columns(from: valueStart, width: keyWidth)
        )
    }

    func gaps(in stored: [Double]) -> [Double] {
        (0..<rows).flatMap { stored[($0 + 1) * rowStride - gap..<($0 + 1) * rowStride] }
    }
}
