/// What sampling reads from the logits of one sequence, in passes over 16 at a time.
///
/// A vocabulary is long and every token of every sequence is drawn from all of it, so these loops take a visible part
/// of the time of small models.
struct LogitPasses {
    private typealias Lanes = SIMD16<Float>
    /// Logits whose weights are summed in float32 before they are added in float64.
    static let blockLength = 512

    private let logits: UnsafeBufferPointer<Float>

    init(_ logits: UnsafeBufferPointer<Float>) { self.logits = logits }

    /// The greatest logit that is a number; minus infinity when there is none.
    var peak: Float {
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        var highest = Lanes(repeating: -.infinity)
        for start in stride(from: 0, to: whole, by: Lanes.scalarCount) {
            let x = lanes(at: start)
            highest.replace(with: x, where: x .> highest)
        }
        var peak = highest.max()
        for index in whole..<logits.count where logits[index] > peak { peak = logits[index] }
        return peak
    }

    /// The first token with that logit; 0 when there is none.
    func first(at peak: Float) -> Int {
        let whole = logits.count / Lanes.scalarCount * Lanes.scalarCount
        var start = 0
        while start < whole, !any(lanes(at: start) .== peak) { start += Lanes.scalarCount }
        return logits[start...].firstIndex(of: peak) ?? 0
    }

    /// Σ exp((logit − peak) · scale), NaN counting as minus infinity.
    func sum(peak: Float, scale: Float) -> Double {
        stride(from: 0, to: logits.count, by: Self.blockLength).reduce(0) {
            $0 + blockSum(at: $1, peak: peak, scale: scale)
        }
    }

    /// The first token up to which the weights exp((logit − peak) · scale) sum to more than `threshold`; where rounding
    /// leaves none, the last of any weight.
    func token(atSum threshold: Double, peak: Float, scale: Float) -> Int? {
        var before = 0.0
        var last: Int?
        for start in stride(from: 0, to: logits.count, by: Self.blockLength) {
            let block = blockSum(at: start, peak: peak, scale: scale)
            guard block > 0 else { continue }
            last = start
            guard before + block <= threshold else { break }
            before += block
        }
        guard let block = last else { return nil }
        // Within the block, tokens one by one. Their sum in this order may fall short of the block's by rounding.
        var token: Int?
        for index in block..<min(block + Self.blockLength, logits.count) {
            let weight = weight(of: index, peak: peak, scale: scale)
            guard weight > 0 else { continue }
            token = index
            before += weight
            if before > threshold { break }
        }
        return token
    }

    /// exp((logit − peak) · scale) of one token.
    func weight(of token: Int, peak: Float, scale: Float) -> Double {
        Double(Self.exponential(Lanes(repeating: (logits[token] - peak) * scale))[0])
    }

    private func blockSum(at start: Int, peak: Float, scale: Float) -> Double {
        let end = min(start + Self.blockLength, logits.count)
        let whole = start + (end - start) / Lanes.scalarCount * Lanes.scalarCount
        var sums = Lanes.zero
        for index in stride(from: start, to: whole, by: Lanes.scalarCount) {
            sums += Self.exponential((lanes(at: index) - peak) * scale)
        }
        if whole < end {
            var rest = Lanes(repeating: -.infinity)
            for index in whole..<end { rest[index - whole] = (logits[index] - peak) * scale }
            sums += Self.exponential(rest)
        }
        return Double(sums.sum())
    }

    @inline(__always)
    private func lanes(at index: Int) -> Lanes {
        UnsafeRawPointer(logits.baseAddress! + index).loadUnaligned(as: Lanes.self)
    }

    /// eˣ for x ≤ 0 to about 2⁻²²; 0 below −87 and for NaN.
    ///
    /// x = n·ln 2 + f with |f| ≤ ln 2 / 2; eᶠ is its Taylor polynomial of degree 6. Adding 1.5 · 2²³ rounds to n and
    /// leaves it in the low bits of the sum.
    @inline(__always)
    private static func exponential(_ x: Lanes) -> Lanes {
        let isTiny = .!(x .>= -87)
        let bounded = x.replacing(with: -87, where: isTiny)
        let shifted = bounded * 1.442_695_04 + 12_582_912
        let n = shifted - 12_582_912
        let f = bounded - n * 0.693_359_375 + n * 2.121_944_4e-4
        var y = f * (1.0 / 720) + 1.0 / 120
        y = y * f + 1.0 / 24
        y = y * f + 1.0 / 6
        y = y * f + 0.5
        y = y * f + 1
        y = y * f + 1
        let power = (unsafeBitCast(shifted, to: SIMD16<Int32>.self) &+ 127) &<< 23
        return (y * unsafeBitCast(power, to: Lanes.self)).replacing(with: 0, where: isTiny)
    }
}
