import ForjaCore
import Foundation

extension TokenShard {
    /// Cuts 0 ..< `count` into consecutive parts, such as the first 90 % for training and the rest
    /// for validation.
    ///
    /// - Parameter fractions: Sizes of the parts but the last, which gets the rest; each above 0,
    ///   together below 1. `[0.9]` gives two parts.
    /// - Returns: One range more than there are fractions.
    /// - Throws: `.invalidInput` when the fractions cannot be or a part would be empty.
    public func split(fractions: [Double]) throws(ForjaError) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var sum = 0.0
        var start = 0
        for fraction in fractions {
            sum += fraction
            guard fraction > 0, sum < 1 else {
                throw ForjaError(
                    .invalidInput, "the data cannot be split into fractions \(fractions)",
                    fix: "give fractions above 0 that add up to less than 1")
            }
            let end = Int(sum * Double(count))
            ranges.append(start..<max(start, end))
            start = max(start, end)
        }
        ranges.append(start..<count)
        guard !ranges.contains(where: \.isEmpty) else {
            throw ForjaError(
                .invalidInput, "\(path): \(count) tokens are too few for fractions \(fractions)",
                fix: "give more text")
        }
        return ranges
    }

    /// Entropy of the token frequencies, −Σ p ln p, in nats per token: the loss of a model that
    /// knows only how often each token comes. A training loss above it has learnt nothing yet.
    ///
    /// - Parameter range: Part of the shard; `nil`: all of it. Empty gives 0.
    /// - Throws: `.damagedFile` when a token lies outside the vocabulary.
    public func unigramEntropy(in range: Range<Int>? = nil) throws(ForjaError) -> Double {
        let range = range ?? 0..<count
        var counts = [Int](repeating: 0, count: header.vocabularySize)
        var start = range.lowerBound
        while start < range.upperBound {
            let end = min(start + (1 << 16), range.upperBound)
            for token in try tokens(in: start..<end) { counts[Int(token)] += 1 }
            start = end
        }
        let total = Double(range.count)
        return counts.reduce(0) { sum, count in
            guard count > 0 else { return sum }
            let p = Double(count) / total
            return sum - p * log(p)
        }
    }
}
