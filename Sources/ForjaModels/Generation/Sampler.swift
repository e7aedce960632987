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
        let best = mostLikely(logits)
        guard settings.temperature > 0 else { return best }
        let random = CounterRandom(
            seed: settings.seed, purpose: .sampling, stream: UInt32(truncatingIfNeeded: sequence))
        let threshold = random.uniform(at: UInt64(index))
        let peak = logits[Int(best)]
        let scale = 1 / settings.temperature
        let weight = { (token: Int) -> Double in
            let logit = logits[token]
            return logit.isNaN ? 0 : exp(Double((logit - peak) * scale))
        }
        guard settings.topK != nil || settings.topP != nil else {
            let total = logits.indices.reduce(0) { $0 + weight($1) }
            return pick(
                logits.indices.lazy.map { ($0, weight($0)) }, at: threshold * total,
                fallback: best)
        }
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
        return pick(
            candidates.lazy.map { ($0, weight($0)) }, at: threshold * total, fallback: best)
    }

    private func mostLikely(_ logits: UnsafeBufferPointer<Float>) -> Int32 {
        var best = 0
        for token in logits.indices where logits[token] > logits[best] || logits[best].isNaN {
            best = token
        }
        return Int32(best)
    }

    /// The candidate whose share of the cumulated weights holds `threshold`.
    private func pick(
        _ candidates: some Sequence<(Int, Double)>, at threshold: Double, fallback: Int32
    ) -> Int32 {
        var sum = 0.0
        var last = fallback
        for (token, weight) in candidates where weight > 0 {
            sum += weight
            last = Int32(token)
            if sum > threshold { return last }
        }
        return last
    }
}
