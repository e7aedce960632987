/// Result of one task.
public struct EvaluationScore: Encodable, Sendable, Equatable {
    /// Mean over questions of the mean reward of their answers.
    public let score: Double
    /// Share of answers that every check calls right.
    public let rightShare: Double
    /// Standard error of `score` over questions: σ / √n with n − 1 under the variance; `nil` for a single question.
    /// Answers to one question are not independent, so more of them do not lower it by themselves.
    public let standardError: Double?
    /// Questions.
    public let questionCount: Int
    /// Answers a question.
    public let sampleCount: Int
    /// Share of answers that ended at the limit.
    public let truncatedShare: Double
    /// Tokens of an answer, mean.
    public let meanAnswerTokens: Double

    enum CodingKeys: String, CodingKey {
        case score, n
        case standardError = "stderr"
        case sampleCount = "samples"
        case truncatedShare = "truncated"
        case meanAnswerTokens = "mean_answer_tokens"
    }

    /// - Parameter records: Every answer of a task, at least one; equally many of each question.
    public init(_ records: [AnswerRecord]) {
        precondition(!records.isEmpty)
        let byItem = Dictionary(grouping: records, by: \.item)
        // In the order of questions: a sum's rounding is then the same each time.
        let means = byItem.keys.sorted().map { item in
            Self.mean(byItem[item]!.sorted { $0.sample < $1.sample }.map(\.reward))
        }
        questionCount = means.count
        sampleCount = records.count / means.count
        let score = Self.mean(means)
        self.score = score
        let squares = means.reduce(0) { $0 + ($1 - score) * ($1 - score) }
        let n = Double(means.count)
        standardError = means.count > 1 ? (squares / (n - 1) / n).squareRoot() : nil
        rightShare = Self.mean(records.map { $0.isRight ? 1 : 0 })
        truncatedShare = Self.mean(records.map { $0.finish == .length ? 1 : 0 })
        meanAnswerTokens = Self.mean(records.map { Double($0.answerTokens) })
    }

    private static func mean(_ values: [Double]) -> Double {
        values.reduce(0, +) / Double(values.count)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(score, forKey: .score)
        try values.encode(standardError, forKey: .standardError)
        try values.encode(questionCount, forKey: .n)
        try values.encode(sampleCount, forKey: .sampleCount)
        try values.encode(truncatedShare, forKey: .truncatedShare)
        try values.encode(meanAnswerTokens, forKey: .meanAnswerTokens)
    }
}
