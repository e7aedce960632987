import Foundation

/// Labels' log-probabilities in float64, from the formulas of forja_log_probability.h.
extension Reference {
    struct LogProbabilities {
        var logProbability: [Double] = []
        var lse: [Double] = []
        var entropy: [Double] = []
        /// dLogits, `[R, V]`.
        var gradient: [Double] = []
        /// Size of a row's terms: the largest |s · logit| plus log V. Rounding is a share of it.
        var magnitudes: [Double] = []
        /// Size of dLogits' terms, `[R, V]`: s · weight · (hit + p · (1 + size)), as p takes over the
        /// error of its exponent.
        var gradientMagnitudes: [Double] = []
    }

    /// - Parameter weights: dLoss/dLogProbability, `[R]`.
    static func logProbabilities(
        of labels: [Int32], logits: [Double], vocabulary: Int, scale: Double, weights: [Double]
    ) -> LogProbabilities {
        var result = LogProbabilities()
        for (row, label) in labels.enumerated() {
            let scaled = logits[row * vocabulary..<(row + 1) * vocabulary].map { $0 * scale }
            let largest = scaled.max()!
            let exponentials = scaled.map { exp($0 - largest) }
            let sum = exponentials.reduce(0, +)
            let lse = largest + log(sum)
            let probabilities = exponentials.map { $0 / sum }
            result.lse.append(lse)
            result.logProbability.append(label < 0 ? 0 : scaled[Int(label)] - lse)
            result.entropy.append(lse - dot(probabilities, scaled))
            result.magnitudes.append(scaled.largestMagnitude + log(Double(vocabulary)))
            for (column, probability) in probabilities.enumerated() {
                let hit: Double = column == Int(label) ? 1 : 0
                let slope = label < 0 ? 0 : scale * weights[row]
                result.gradient.append(slope * (hit - probability))
                result.gradientMagnitudes.append(
                    slope.magnitude * (hit + probability * (1 + result.magnitudes[row])))
            }
        }
        return result
    }
}
