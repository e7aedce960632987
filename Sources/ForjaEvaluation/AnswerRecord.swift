import ForjaModels

/// One graded answer: a line of a task's file of answers.
public struct AnswerRecord: Codable, Sendable, Equatable {
    /// Number of the question in its task, from 0.
    public var item: Int
    /// Number of the answer to it, from 0.
    public var sample: Int
    /// Where the question comes from.
    public var place: String
    /// What the model was given, as text.
    public var prompt: String
    public var answer: String
    /// Accepted answers of each check.
    public var groundTruth: [[String]]
    public var reward: Double
    public var promptTokens: Int
    /// With the end token.
    public var answerTokens: Int
    public var finish: Completion.Finish
    /// Sum over the answer's tokens of the model's log-probabilities.
    public var logProbability: Double

    /// Whether every check gave its most, 1.
    public var isRight: Bool { reward >= Double(groundTruth.count) }

    public init(
        item: Int, sample: Int, place: String, prompt: String, answer: String,
        groundTruth: [[String]], reward: Double, promptTokens: Int, answerTokens: Int,
        finish: Completion.Finish, logProbability: Double
    ) {
        self.item = item
        self.sample = sample
        self.place = place
        self.prompt = prompt
        self.answer = answer
        self.groundTruth = groundTruth
        self.reward = reward
        self.promptTokens = promptTokens
        self.answerTokens = answerTokens
        self.finish = finish
        self.logProbability = logProbability
    }

    enum CodingKeys: String, CodingKey {
        case item, sample, place, prompt, answer, reward, finish
        case groundTruth = "ground_truth"
        case promptTokens = "prompt_tokens"
        case answerTokens = "answer_tokens"
        case logProbability = "logprob"
    }
}
