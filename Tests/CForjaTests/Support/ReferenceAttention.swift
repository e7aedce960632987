import Foundation
import Testing

/// Sizes, strides and masks of one attention call. Heads H, key-value heads G, head width D.
struct AttentionShape: Sendable, CustomTestStringConvertible {
    var batch = 1
    var queryLength: Int
    var keyLength: Int
    var heads: Int
    var keyValueHeads: Int
    var headDim: Int
    /// `[B, T]`: first visible key of each row; `nil`: 0.
    var documentStart: [Int32]?
    /// `[B]`: position of row 0; `nil`: 0.
    var queryOffset: [Int32]?

    var scale: Double { 1 / Double(headDim).squareRoot() }
    var queryCount: Int { batch * queryLength * heads * headDim }
    var keyCount: Int { batch * keyLength * keyValueHeads * headDim }

    var testDescription: String {
        "B\(batch) T\(queryLength) S\(keyLength) H\(heads) G\(keyValueHeads) D\(headDim)"
            + (documentStart == nil ? "" : " documents") + (queryOffset == nil ? "" : " offset")
    }

    /// Keys that row `row` of batch `b` may see.
    func visibleKeys(_ b: Int, _ row: Int) -> ClosedRange<Int> {
        let first = documentStart.map { Int($0[b * queryLength + row]) } ?? 0
        return first...(Int(queryOffset?[b] ?? 0) + row)
    }
}

extension Reference {
    struct Attention {
        var out: [Double]
        /// `[B, H, T]`.
        var lse: [Double]
        /// Visible keys' probabilities, one array per (batch, head, row).
        fileprivate var probabilities: [[Double]]
    }

    /// out = softmax(scale · Q Kᵀ + mask) V on dense Q `[B, T, H, D]`, K and V `[B, S, G, D]`.
    static func attention(
        _ shape: AttentionShape, q: [Double], k: [Double], v: [Double]
    ) -> Attention {
        let width = shape.headDim
        var result = Attention(
            out: [Double](repeating: 0, count: shape.queryCount), lse: [], probabilities: [])
        forEachRow(of: shape) { row in
            let scores = row.keys.map { key in
                var sum = 0.0
                for d in 0..<width { sum += q[row.query + d] * k[row.offset(ofKey: key) + d] }
                return sum * shape.scale
            }
            let largest = scores.max()!
            let exponentials = scores.map { exp($0 - largest) }
            let sum = exponentials.reduce(0, +)
            result.lse.append(largest + log(sum))
            let probabilities = exponentials.map { $0 / sum }
            result.probabilities.append(probabilities)
            for (probability, key) in zip(probabilities, row.keys) {
                let value = row.offset(ofKey: key)
                for d in 0..<width { result.out[row.query + d] += probability * v[value + d] }
            }
        }
        return result
    }

    /// Gradients with respect to Q, K and V:
    ///
    ///     dV = Pᵀ dO,   dS = P · (dO Vᵀ − rowsum(dO · O)),   dQ = scale · dS K,   dK = scale · dSᵀ Q
    static func attentionBackward(
        _ shape: AttentionShape, q: [Double], k: [Double], v: [Double], dOut: [Double]
    ) -> (dq: [Double], dk: [Double], dv: [Double]) {
        let width = shape.headDim
        let forward = attention(shape, q: q, k: k, v: v)
        var dq = [Double](repeating: 0, count: shape.queryCount)
        var dk = [Double](repeating: 0, count: shape.keyCount)
        var dv = dk
        var rowIndex = 0
        forEachRow(of: shape) { row in
            let probabilities = forward.probabilities[rowIndex]
            rowIndex += 1
            var inner = 0.0
            for d in 0..<width { inner += dOut[row.query + d] * forward.out[row.query + d] }
            for (probability, key) in zip(probabilities, row.keys) {
                let offset = row.offset(ofKey: key)
                var dProbability = 0.0
                for d in 0..<width { dProbability += dOut[row.query + d] * v[offset + d] }
                let dScore = probability * (dProbability - inner) * shape.scale
                for d in 0..<width {
                    dv[offset + d] += probability * dOut[row.query + d]
                    dq[row.query + d] += dScore * k[offset + d]
                    dk[offset + d] += dScore * q[row.query + d]
                }
            }
        }
        return (dq, dk, dv)
    }

    /// One query head at one position: where its numbers start, and the keys it sees.
    private struct AttentionRow {
        let query: Int
        let keys: ClosedRange<Int>
        let firstKey: Int
        let keyStride: Int

        func offset(ofKey key: Int) -> Int { firstKey + key * keyStride }
    }

    private static func forEachRow(of shape: AttentionShape, _ body: (AttentionRow) -> Void) {
        let keyStride = shape.keyValueHeads * shape.headDim
        for b in 0..<shape.batch {
            for head in 0..<shape.heads {
                let group = head / (shape.heads / shape.keyValueHeads)
                for t in 0..<shape.queryLength {
                    body(
                        AttentionRow(
                            query: ((b * shape.queryLength + t) * shape.heads + head)
                                * shape.headDim,
                            keys: shape.visibleKeys(b, t),
                            firstKey: b * shape.keyLength * keyStride + group * shape.headDim,
                            keyStride: keyStride))
                }
            }
        }
    }
}
