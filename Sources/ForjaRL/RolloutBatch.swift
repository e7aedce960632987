/// One answer of the policy, graded.
struct RolloutAnswer: Codable, Sendable, Equatable {
    /// Its end token included, where it has one.
    var ids: [Int32]
    /// Of each id, as the sampler drew it: with the temperature.
    var logProbabilities: [Float]
    /// Whether it ran into the limit.
    var isTruncated: Bool
    /// Before the reward scale.
    var score: Double
    /// Whether every check gives 1.
    var isRight: Bool
}

/// The answers to one prompt.
struct RolloutSet: Codable, Sendable, Equatable {
    /// Number of the task among those trained on.
    var task: Int
    var answers: [RolloutAnswer]
    /// Why nothing is learnt from the set, where a verifier gave no number and such rows are skipped.
    var problem: String?
}

/// What a few optimizer steps train on.
struct RolloutBatch: Codable, Sendable, Equatable {
    /// From 0.
    var number: Int
    /// Updates that the weights had seen which sampled it.
    var weightsStep: Int
    /// Most tokens an answer could have.
    var limit: Int
    var sets: [RolloutSet]
    /// Of each answer's ids, under the weights at the first of the batch's updates; `nil` where there is only one.
    var oldLogProbabilities: [[Float]]?

    var answers: [RolloutAnswer] { sets.flatMap(\.answers) }
}
