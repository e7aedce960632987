import ForjaCore

/// How much better an answer is than the others to the same prompt.
///
///     standard   (r − mean) / (std + δ)
///     centred    r − mean                    also Dr. GRPO's (Liu et al., 2025, arXiv:2503.20783)
///
/// Mean and standard deviation are of the rollout set: all answers to one prompt.
public enum AdvantageRule: Sendable, Equatable {
    case standard(deviation: Deviation, delta: Double)
    case centred

    public enum Deviation: String, Sendable, CaseIterable {
        /// Σ / (n − 1): DeepCoder.
        case sample
        /// Σ / n: Tülu 3.1.
        case population
    }

    /// Advantages of one rollout set, in the order of its rewards.
    ///
    /// A set whose rewards are all equal says nothing: its advantages are exactly 0.
    ///
    /// - Parameter rewards: At least one, finite.
    func advantages(of rewards: [Double]) -> [Double] {
        guard rewards.contains(where: { $0 != rewards[0] }) else {
            return rewards.map { _ in 0 }
        }
        let mean = rewards.reduce(0, +) / Double(rewards.count)
        let centred = rewards.map { $0 - mean }
        guard case .standard(let deviation, let delta) = self else { return centred }
        let squares = centred.reduce(0) { $0 + $1 * $1 }
        let count = Double(deviation == .sample ? rewards.count - 1 : rewards.count)
        return centred.map { $0 / ((squares / count).squareRoot() + delta) }
    }
}

/// What becomes of answers that ran into the length limit.
public enum OverlongRule: Sendable, Equatable {
    /// They are graded as they are.
    case none
    /// One that was cut and is wrong gets advantage 0: nothing is known about where it would have led. It stays in the
    /// statistics of its set and in the token count; one that was cut and is right trains. DeepCoder's rule.
    case ignoreWrong
    /// Reward 0 whatever the verifier says: an answer has to end. Tülu 3's rule for answers without an end token.
    case zero
    /// Reward falls linearly from 0 to −1 over the last `buffer` tokens before `limit` (Yu et al., 2025,
    /// arXiv:2503.14476).
    case penalty(limit: Int, buffer: Int)

    func reward(_ rollout: Rollout) -> Double {
        switch self {
        case .none, .ignoreWrong: return rollout.score
        case .zero: return rollout.isTruncated ? 0 : rollout.score
        case .penalty(let limit, let buffer):
            let over = Double(rollout.length - (limit - buffer)) / Double(max(buffer, 1))
            return rollout.score - min(max(over, 0), 1)
        }
    }

    func ignores(_ rollout: Rollout) -> Bool {
        self == .ignoreWrong && rollout.isTruncated && rollout.score == 0
    }
}

/// One graded answer.
public struct Rollout: Sendable, Equatable {
    /// The verifier's, times any reward scale.
    public var score: Double
    /// Tokens.
    public var length: Int
    /// Whether it ended because the length limit was reached.
    public var isTruncated: Bool

    public init(score: Double, length: Int, isTruncated: Bool) {
        self.score = score
        self.length = length
        self.isTruncated = isTruncated
    }
}

/// Advantages of a batch of rollout sets.
public struct Advantages: Sendable, Equatable {
    /// One list a set, in its order.
    public private(set) var values: [[Double]] = []
    /// Sets whose rewards are all equal: they train nothing but a KL term.
    public private(set) var zeroVarianceCount = 0
    /// Answers set to 0 by the overlong rule.
    public private(set) var ignoredCount = 0
    /// Answers that ran into the length limit.
    public private(set) var truncatedCount = 0

    /// - Parameter sets: The answers to each prompt, at least one each.
    /// - Throws: `.notFinite` naming set and answer of a score that is not finite; `.invalidInput` for an empty set.
    public init(
        _ sets: [[Rollout]], rule: AdvantageRule, overlong: OverlongRule = .none
    ) throws(ForjaError) {
        for (number, set) in sets.enumerated() {
            guard !set.isEmpty else {
                throw ForjaError(
                    .invalidInput, "rollout set \(number) has no answer",
                    fix: "sample at least one a prompt")
            }
            if let wrong = set.firstIndex(where: { !$0.score.isFinite }) {
                throw ForjaError(
                    .notFinite,
                    "the score of answer \(wrong) in rollout set \(number) is \(set[wrong].score)",
                    fix: "correct the verifier: scores are finite")
            }
            let rewards = set.map(overlong.reward)
            if rewards.allSatisfy({ $0 == rewards[0] }) { zeroVarianceCount += 1 }
            values.append(
                zip(set, rule.advantages(of: rewards)).map { overlong.ignores($0) ? 0 : $1 })
            ignoredCount += set.count(where: overlong.ignores)
            truncatedCount += set.count(where: \.isTruncated)
        }
    }
}
