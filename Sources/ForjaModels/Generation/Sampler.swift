import ForjaCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How the next token is drawn from the logits.
public struct SamplingSettings: Hashable, Sendable {
    /// Divides the logits; 0 takes the most likely token.
    public var temperature: Float
    /// Keeps the k most likely tokens; `nil` keeps all.
    public var topK: Int?
    /// Keeps the fewest most likely tokens whose probabilities sum to at least p (Holtzman and others, 2020,
    /// arXiv:1904.09751); `nil` keeps all.
    public var topP: Float?
    public var seed: UInt64

    public init(
        temperature: Float = 1, topK: Int? = nil, topP: Float? = nil, seed: UInt64 = 0
    ) throws(ForjaError) {
        guard temperature >= 0, temperature.isFinite else {
            throw ForjaError(
                .invalidInput, "temperature is \(temperature)", fix: "use 0 (greedy) or more")
        }
        if let topK, topK < 1 {
            throw ForjaError(.invalidInput, "top-k is \(topK)", fix: "use 1 or more")
        }
        if let topP, !(topP > 0 && topP <= 1) {
            throw ForjaError(.invalidInput, "top-p is \(topP)", fix: "use a number in (0, 1]")
        }
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.seed = seed
    }
}

/// A token drawn, with its log-probabilities (natural logarithm).
public struct Draw: Sendable, Equatable {
    public var id: Int32
    /// Under the distribution drawn from: with temperature, top-k and top-p. 0 where the most likely token is taken.
    public var logProbability: Float
    /// Under the model's own distribution, which is what scoring the text gives.
    public var modelLogProbability: Float
}

/// Draws tokens; a draw depends on seed, sequence and place alone, not on the batch it is made in.
public struct Sampler: Sendable {
    public let settings: SamplingSettings

    public init(_ settings: SamplingSettings) { self.settings = settings }

    /// - Parameters:
    ///   - logits: `[V]`; NaN counts as minus infinity.
    ///   - sequence: Number of the sample.
    ///   - index: Number of the token within the sample.
    public func draw(
        from logits: UnsafeBufferPointer<Float>, sequence: Int, index: Int
    ) -> Int32 {
        draw(from: logits, sequence: sequence, index: index, isScored: false).id
    }

    /// As `draw`, with log-probabilities.
    public func scoredDraw(
        from logits: UnsafeBufferPointer<Float>, sequence: Int, index: Int
    ) -> Draw {
        draw(from: logits, sequence: sequence, index: index, isScored: true)
    }

    private func draw(
        from logits: UnsafeBufferPointer<Float>, sequence: Int, index: Int, isScored: Bool
    ) -> Draw {
        let passes = LogitPasses(logits)
        let peak = passes.peak
        /// Minus infinity where nothing can be drawn: all logits NaN or minus infinity.
        func draw(_ token: Int, share: Double, unscaledSum: Double?) -> Draw {
            guard isScored else {
                return Draw(id: Int32(token), logProbability: 0, modelLogProbability: 0)
            }
            let sum = unscaledSum ?? passes.sum(peak: peak, scale: 1)
            return Draw(
                id: Int32(token), logProbability: Float(log(share)),
                modelLogProbability: Float(Double(logits[token] - peak) - log(sum)))
        }
        guard settings.temperature > 0 else {
            return draw(passes.first(at: peak), share: 1, unscaledSum: nil)
        }
        let random = CounterRandom(
            seed: settings.seed, purpose: .sampling, stream: UInt32(truncatingIfNeeded: sequence))
        let threshold = random.uniform(at: UInt64(index))
        let scale = 1 / settings.temperature
        if settings.topK != nil || settings.topP != nil {
            let (token, share) = restrictedDraw(logits, at: threshold, peak: peak, scale: scale)
            return draw(token, share: share, unscaledSum: nil)
        }
        let total = passes.sum(peak: peak, scale: scale)
        let token =
            passes.token(atSum: threshold * total, peak: peak, scale: scale)
            ?? passes.first(at: peak)
        return draw(
            token, share: passes.weight(of: token, peak: peak, scale: scale) / total,
            unscaledSum: scale == 1 ? total : nil)
    }

    /// A draw from the most likely tokens, and its share of their probability.
    private func restrictedDraw(
        _ logits: UnsafeBufferPointer<Float>, at threshold: Double, peak: Float, scale: Float
    ) -> (token: Int, share: Double) {
        let weight = { (token: Int) -> Double in exp(Double((logits[token] - peak) * scale)) }
        var candidates = logits.indices.filter { !logits[$0].isNaN }
        // Equal logits keep the order of their ids, so that a draw is the same everywhere.
        candidates.sort { (logits[$0], $1) > (logits[$1], $0) }
        if let topK = settings.topK { candidates.removeLast(max(candidates.count - topK, 0)) }
        if let topP = settings.topP {
            let total = candidates.reduce(0) { $0 + weight($1) }
            var sum = 0.0
            let kept = candidates.firstIndex {
                sum += weight($0)
                return sum >= Double(topP) * total
            }
            if let kept { candidates.removeLast(candidates.count - kept - 1) }
        }
        let total = candidates.reduce(0) { $0 + weight($1) }
        var sum = 0.0
        var token = candidates.first ?? 0
        for candidate in candidates where weight(candidate) > 0 {
            sum += weight(candidate)
            token = candidate
            if sum > threshold * total { break }
        }
        return (token, candidates.isEmpty ? 0 : weight(token) / total)
    }
}
