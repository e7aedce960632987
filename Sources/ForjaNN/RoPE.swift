import ForjaCore
import ForjaRuntime

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Rotary position embedding: the angles of every pair of a head at every position.
///
/// Su and others, 2021, arXiv:2104.09864. Llama 3.1 stretches long wavelengths: those above
/// `originalContext / lowFrequencyFactor` are divided by `factor`, those below `originalContext / highFrequencyFactor`
/// are kept, the ones between are blended (Llama 3 report, arXiv:2407.21783; transformers' `rope_type: llama3`).
public struct RoPEScaling: Hashable, Sendable, Codable {
    public var factor: Double
    public var lowFrequencyFactor: Double
    public var highFrequencyFactor: Double
    public var originalContext: Int

    public init(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
        originalContext: Int
    ) {
        self.factor = factor
        self.lowFrequencyFactor = lowFrequencyFactor
        self.highFrequencyFactor = highFrequencyFactor
        self.originalContext = originalContext
    }
}

/// Cosines and sines of the rotary angles, computed in float64 and rounded once.
public struct RoPETable: Sendable {
    /// `[positions, headWidth / 2]`, row-major.
    public let cosine: [Float]
    public let sine: [Float]
    public let positions: Int
    public let pairs: Int

    /// - Parameters:
    ///   - headWidth: D, even.
    ///   - base: θ of the embedding; Llama 3 uses 500,000.
    ///   - scaling: Llama 3.1 frequency scaling, if any.
    public init(positions: Int, headWidth: Int, base: Double, scaling: RoPEScaling?) {
        self.positions = positions
        pairs = headWidth / 2
        let frequencies = Self.frequencies(headWidth: headWidth, base: base, scaling: scaling)
        var cosine = [Float](repeating: 0, count: positions * pairs)
        var sine = cosine
        for position in 0..<positions {
            for (pair, frequency) in frequencies.enumerated() {
                // Float products as the checkpoints were trained with: inv_freq is float32 in every public model.
                let angle = Float(position) * frequency
                cosine[position * pairs + pair] = Float(cos(Double(angle)))
                sine[position * pairs + pair] = Float(sin(Double(angle)))
            }
        }
        self.cosine = cosine
        self.sine = sine
    }

    /// Angle per position of each pair, in radians.
    public static func frequencies(
        headWidth: Int, base: Double, scaling: RoPEScaling?
    ) -> [Float] {
        (0..<(headWidth / 2)).map { pair in
            let frequency = 1 / pow(base, Double(2 * pair) / Double(headWidth))
            guard let scaling else { return Float(frequency) }
            let wavelength = 2 * Double.pi / frequency
            let context = Double(scaling.originalContext)
            if wavelength < context / scaling.highFrequencyFactor { return Float(frequency) }
            if wavelength > context / scaling.lowFrequencyFactor {
                return Float(frequency / scaling.factor)
            }
            let smooth =
                (context / wavelength - scaling.lowFrequencyFactor)
                / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor)
            return Float((1 - smooth) * frequency / scaling.factor + smooth * frequency)
        }
    }
}

extension StepGraph {
    /// Turns the first `heads` heads of each row by its position, in place, in the half-split (Hugging Face) layout.
    ///
    /// Backward: the gradient is turned back by the same angles, in place.
    ///
    /// - Parameters:
    ///   - x: `[N, W]` with W ≥ heads · headWidth; its contents change.
    ///   - cosine: `[positions, headWidth / 2]` float32, as `sine`.
    ///   - positions: `[N]` int32; without it row n stands at position n mod `sequenceLength`.
    /// - Throws: `.shapeMismatch` when a row is too short or the tables differ.
    public func rope(
        inPlace x: Tensor, cosine: Tensor, sine: Tensor, positions: Tensor? = nil,
        sequenceLength: Int, heads: Int, headWidth: Int
    ) throws(ForjaError) {
        guard x.width >= heads * headWidth, cosine.shape == sine.shape,
            cosine.width == headWidth / 2
        else {
            throw ForjaError(
                .shapeMismatch,
                "rope: x is \(x.shape), heads \(heads) of \(headWidth), table \(cosine.shape)")
        }
        recordRoPE(
            x: x, cosine: cosine, sine: sine, positions: positions,
            sequenceLength: sequenceLength, heads: heads, headWidth: headWidth, inverse: false)
        onBackward { [self] () throws(ForjaError) in
            guard let dx = gradient(of: x) else { return }
            recordRoPE(
                x: dx, cosine: cosine, sine: sine, positions: positions,
                sequenceLength: sequenceLength, heads: heads, headWidth: headWidth, inverse: true)
        }
    }
}
