import CForja
import ForjaCore

/// Places in the step-scalar variable; the engine's header says what each means.
public enum StepScalar: Int, Sendable {
    case learningRate = 0
    case biasCorrection1 = 1
    case biasCorrection2 = 2
    case gradientScale = 3
    case maxNorm = 4
    case lossSum = 8
    case gradientNorm = 9
    case updateScale = 10
    case isFinite = 11

    public static let count = 16

    /// The host's copy of the step scalars. On the stack: a replayed step allocates nothing.
    package struct Values {
        private var lanes = SIMD16<Float>()

        package init() {}

        package subscript(scalar: StepScalar) -> Float {
            get { lanes[scalar.rawValue] }
            set { lanes[scalar.rawValue] = newValue }
        }

        /// Writes what the host decides: the scalars before `lossSum`.
        package func writeInputs(to variable: Variable, on queue: Queue) throws(ForjaError) {
            let byteCount = StepScalar.lossSum.rawValue * MemoryLayout<Float>.stride
            try withUnsafeBytes(of: lanes) { bytes throws(ForjaError) in
                try variable.writeBytes(
                    UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]), on: queue)
            }
        }

        /// Reads all of them, after everything queued before.
        package mutating func read(
            from variable: Variable, on queue: Queue
        ) throws(ForjaError) {
            try withUnsafeMutableBytes(of: &lanes) { bytes throws(ForjaError) in
                try variable.readBytes(into: bytes, on: queue)
            }
        }
    }
}

extension StepGraph {
    /// Partial sums of squares that tensors of so many elements give.
    package static func sumSquaresCount(_ elementCounts: [Int]) -> Int {
        let chunk = Int(FORJA_SUM_SQUARES_CHUNK)
        return elementCounts.reduce(0) { $0 + ($1 + chunk - 1) / chunk }
    }

    /// Partial sums of squares of every gradient, in order, from the start of `partials`.
    package func recordSumSquares(of gradients: [Tensor], into partials: Tensor) {
        var start = 0
        for gradient in gradients {
            let count = Self.sumSquaresCount([gradient.elementCount])
            let part = partials.elements(from: start, count: count)
            record("sum_squares", reads: [gradient], writes: [part], forja_sum_squares) {
                forja_sum_squares_args(
                    x: $0[gradient], partials: $0[part], count: UInt64(gradient.elementCount))
            }
            start += count
        }
    }

    /// Norm, clip scale and finite flag from partial sums of squares and the loss.
    package func recordGradientNorm(partials: Tensor, scalars: Tensor) {
        record(
            "gradient_norm", reads: [partials, scalars], writes: [scalars], forja_gradient_norm
        ) {
            forja_gradient_norm_args(
                partials: $0[partials], scalars: $0[scalars],
                partial_count: UInt64(partials.elementCount))
        }
    }

    /// One AdamW update of one parameter.
    package func recordAdamW(
        weight: Tensor, lowPrecisionCopy: Tensor?, gradient: Tensor, firstMoment: Tensor,
        secondMoment: Tensor, scalars: Tensor, beta1: Float, beta2: Float, epsilon: Float,
        weightDecay: Float
    ) {
        record(
            "adamw", reads: [weight, gradient, firstMoment, secondMoment, scalars],
            writes: [weight, firstMoment, secondMoment] + [lowPrecisionCopy].compactMap { $0 },
            forja_adamw
        ) {
            forja_adamw_args(
                weight: $0[weight], weight_bf16: $0[lowPrecisionCopy], gradient: $0[gradient],
                m: $0[firstMoment], v: $0[secondMoment], scalars: $0[scalars],
                count: UInt64(weight.elementCount), beta1: beta1, beta2: beta2, epsilon: epsilon,
                weight_decay: weightDecay)
        }
    }
}
