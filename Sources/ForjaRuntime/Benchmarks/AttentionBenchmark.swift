import CForja
import ForjaCore
import Foundation

extension KernelCall {
    /// Forward and backward of causal attention over a fused `[B, T, H + 2G, D]` tensor.
    public static func attention(
        batch: Int, length: Int, heads: Int, keyValueHeads: Int, headWidth: Int, dtype: DType
    ) -> [KernelCall] {
        let fused = UInt64((heads + 2 * keyValueHeads) * headWidth)
        var forward = forja_attention_args()
        forward.dtype = dtype.engine
        forward.batch = UInt32(batch)
        (forward.query_length, forward.key_length) = (UInt32(length), UInt32(length))
        (forward.heads, forward.key_value_heads) = (UInt32(heads), UInt32(keyValueHeads))
        forward.head_dim = UInt32(headWidth)
        (forward.q_row_stride, forward.k_row_stride, forward.v_row_stride) = (fused, fused, fused)
        forward.out_row_stride = UInt64(heads * headWidth)
        forward.scale = 1 / Float(headWidth).squareRoot()
        var backward = forja_attention_backward_args()
        backward.forward = forward
        (backward.dq_row_stride, backward.dk_row_stride, backward.dv_row_stride) =
            (fused, fused, fused)
        return [KernelCall(alone: forward), KernelCall(alone: backward)]
    }
}

extension forja_attention_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_attention_forward
    }
    var operation: String { "attention_forward" }
    var storage: forja_dtype { dtype }
    /// Two products over the visible half of the scores.
    var flops: Double? {
        2 * Double(batch) * Double(heads) * Double(query_length) * Double(key_length)
            * Double(head_dim)
    }

    /// "b8 h8 g4 t256 d32": batch, query heads, key-value heads, length, head width.
    var shape: String {
        "b\(batch) h\(heads) g\(key_value_heads) t\(query_length) d\(head_dim)"
    }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        try place(in: operands, outputs: .writes)
    }

    /// Queries, keys and values side by side, as a training step keeps them; no documents.
    mutating func place(
        in operands: KernelOperands, outputs: KernelOperands.Access
    ) throws(ForjaError) {
        let rows = Int(batch * query_length)
        let fused = try operands.place("qkv", rows * Int(q_row_stride), dtype, .reads)
        (q, k, v) = Self.parts(fused, of: self)
        out = try operands.place("out", rows * Int(out_row_stride), dtype, outputs)
        lse = try operands.place("lse", rows * Int(heads), FORJA_DTYPE_F32, outputs)
        document_start = forja_span()
    }

    /// Queries, keys and values, or their gradients, inside a fused tensor.
    static func parts(
        _ fused: forja_span, of call: forja_attention_args
    ) -> (forja_span, forja_span, forja_span) {
        (
            fused, forja_span(buffer: fused.buffer, offset: call.keyOffset),
            forja_span(buffer: fused.buffer, offset: call.valueOffset)
        )
    }

    private var keyOffset: UInt64 { UInt64(heads * head_dim) }
    private var valueOffset: UInt64 { UInt64((heads + key_value_heads) * head_dim) }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let reference = AttentionReference(self, qkv: operands["qkv"])
        let (out, lse) = (try operands.result("out"), try operands.result("lse"))
        var outMeter = ErrorMeter()
        var lseMeter = ErrorMeter()
        for place in reference.sampledRows(limit: 16) {
            let (values, sum) = reference.forward(place)
            lseMeter.compare(lse[reference.lseIndex(place)], with: sum)
            for d in values.indices {
                outMeter.compare(out[reference.outIndex(place) + d], with: values[d])
            }
        }
        return max(outMeter.relativeError, lseMeter.relativeError)
    }
}

extension forja_attention_backward_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_attention_backward
    }
    var operation: String { "attention_backward" }
    var storage: forja_dtype { forward.dtype }
    var shape: String { forward.shape }
    /// Five products where the forward pass has two.
    var flops: Double? { forward.flops.map { 2.5 * $0 } }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        try forward.place(in: operands, outputs: .reads)
        let rows = Int(forward.batch * forward.query_length)
        d_out = try operands.place("d_out", rows * Int(forward.out_row_stride), storage, .reads)
        let fused = try operands.place("d_qkv", rows * Int(dq_row_stride), storage, .writes)
        (dq, dk, dv) = forja_attention_args.parts(fused, of: forward)
    }

    func prepare(_ operands: KernelOperands) throws(ForjaError) {
        try forward.run(on: operands.queue)
    }

    /// `out` and `lse` are inputs here: what the forward pass wrote is taken as it is.
    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let reference = AttentionReference(
            forward, qkv: operands["qkv"], out: try operands.result("out"),
            lse: try operands.result("lse"), outGradient: operands["d_out"])
        let result = try operands.result("d_qkv")
        var queries = ErrorMeter()
        var keys = ErrorMeter()
        var values = ErrorMeter()
        for place in reference.sampledRows(limit: 4) {
            let dq = reference.queryGradient(place)
            for d in dq.indices {
                queries.compare(result[reference.queryIndex(place) + d], with: dq[d])
            }
            let group = place.head * Int(forward.key_value_heads) / Int(forward.heads)
            let (dk, dv) = reference.keyValueGradient(
                batch: place.batch, group: group, key: place.row)
            let at = reference.keyIndex(place.batch, group, place.row)
            for d in dk.indices {
                keys.compare(result[at.key + d], with: dk[d])
                values.compare(result[at.value + d], with: dv[d])
            }
        }
        return max(queries.relativeError, keys.relativeError, values.relativeError)
    }
}

/// Causal attention in float64, row by row.
private struct AttentionReference {
    /// A query row of one head.
    struct Place {
        let batch: Int
        let head: Int
        let row: Int
    }

    private let batch, length, heads, groups, width, stride, outStride: Int
    private let scale: Double
    private let qkv, out, lse, outGradient: [Float]

    init(
        _ call: forja_attention_args, qkv: [Float], out: [Float] = [], lse: [Float] = [],
        outGradient: [Float] = []
    ) {
        (batch, length) = (Int(call.batch), Int(call.query_length))
        (heads, groups) = (Int(call.heads), Int(call.key_value_heads))
        (width, stride) = (Int(call.head_dim), Int(call.q_row_stride))
        outStride = Int(call.out_row_stride)
        scale = Double(call.scale)
        (self.qkv, self.out, self.lse, self.outGradient) = (qkv, out, lse, outGradient)
    }

    /// Rows of different sequences, heads and positions, the very last among them.
    func sampledRows(limit: Int) -> [Place] {
        sampled(batch * length, limit: limit).enumerated().map { number, row in
            Place(batch: row / length, head: number % heads, row: row % length)
        }
    }

    func queryIndex(_ place: Place) -> Int {
        (place.batch * length + place.row) * stride + place.head * width
    }
    func keyIndex(_ batch: Int, _ group: Int, _ row: Int) -> (key: Int, value: Int) {
        let key = (batch * length + row) * stride + (heads + group) * width
        return (key, key + groups * width)
    }
    func outIndex(_ place: Place) -> Int {
        (place.batch * length + place.row) * outStride + place.head * width
    }
    func lseIndex(_ place: Place) -> Int {
        (place.batch * heads + place.head) * length + place.row
    }

    private func dot(_ a: [Float], _ i: Int, _ b: [Float], _ j: Int) -> Double {
        var sum = 0.0
        for d in 0..<width { sum += Double(a[i + d]) * Double(b[j + d]) }
        return sum
    }
    private func add(_ factor: Double, _ a: [Float], _ i: Int, to sums: inout [Double]) {
        for d in 0..<width { sums[d] += factor * Double(a[i + d]) }
    }

    private func score(_ place: Place, key: Int) -> Double {
        let group = place.head * groups / heads
        return scale * dot(qkv, queryIndex(place), qkv, keyIndex(place.batch, group, key).key)
    }

    func forward(_ place: Place) -> (out: [Double], lse: Double) {
        let group = place.head * groups / heads
        let scores = (0...place.row).map { score(place, key: $0) }
        let largest = scores.max()!
        let total = scores.reduce(0) { $0 + exp($1 - largest) }
        var sums = [Double](repeating: 0, count: width)
        for (key, score) in scores.enumerated() {
            add(
                exp(score - largest) / total, qkv,
                keyIndex(place.batch, group, key).value, to: &sums)
        }
        return (sums, largest + log(total))
    }

    /// p and dS of one score.
    private func slopes(_ place: Place, key: Int) -> (p: Double, slope: Double) {
        let group = place.head * groups / heads
        let p = exp(score(place, key: key) - Double(lse[lseIndex(place)]))
        let at = outIndex(place)
        let slope = dot(outGradient, at, qkv, keyIndex(place.batch, group, key).value)
        return (p, p * (slope - dot(outGradient, at, out, at)))
    }

    func queryGradient(_ place: Place) -> [Double] {
        let group = place.head * groups / heads
        var sums = [Double](repeating: 0, count: width)
        for key in 0...place.row {
            add(
                scale * slopes(place, key: key).slope, qkv,
                keyIndex(place.batch, group, key).key, to: &sums)
        }
        return sums
    }

    func keyValueGradient(
        batch: Int, group: Int, key: Int
    ) -> (key: [Double], value: [Double]) {
        var keys = [Double](repeating: 0, count: width)
        var values = keys
        let perGroup = heads / groups
        for head in group * perGroup..<(group + 1) * perGroup {
            for row in key..<length {
                let place = Place(batch: batch, head: head, row: row)
                let (p, slope) = slopes(place, key: key)
                add(scale * slope, qkv, queryIndex(place), to: &keys)
                add(p, outGradient, outIndex(place), to: &values)
            }
        }
        return (keys, values)
    }
}
