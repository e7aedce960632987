import ForjaCore
import ForjaObjectives

/// A batch with the advantages of its answers, and the figures that say how it went.
struct GradedBatch {
    let batch: RolloutBatch
    /// One an answer, in order; 0 in sets from which nothing is learnt.
    let advantages: [Double]
    /// For metrics.jsonl.
    let metrics: [String: Double]

    init(_ batch: RolloutBatch, settings: GroupRelativeSettings) throws(ForjaError) {
        self.batch = batch
        func rollouts(of set: RolloutSet) -> [Rollout] {
            set.answers.map {
                Rollout(
                    score: $0.score * settings.rewardScale, length: $0.ids.count,
                    isTruncated: $0.isTruncated)
            }
        }
        let usable = batch.sets.filter { $0.problem == nil }
        let judged = try Advantages(
            usable.map(rollouts), rule: settings.advantages,
            overlong: settings.overlong(limit: batch.limit))
        var values = judged.values[...]
        advantages = batch.sets.flatMap {
            $0.problem == nil ? values.popFirst()! : $0.answers.map { _ in 0 }
        }
        let answers = usable.flatMap(\.answers)
        let count = Double(max(answers.count, 1))
        let lengths = answers.map { Double($0.ids.count) }
        let tokens = max(lengths.reduce(0, +), 1)
        let logProbability = answers.flatMap(\.logProbabilities).reduce(0.0) { $0 + Double($1) }
        metrics = [
            "reward": answers.reduce(0) { $0 + $1.score } * settings.rewardScale / count,
            "pass_rate": Double(answers.count { $0.isRight }) / count,
            "zero_variance_sets": Double(judged.zeroVarianceCount),
            "truncated_share": Double(judged.truncatedCount) / count,
            "ignored_answers": Double(judged.ignoredCount),
            "skipped_sets": Double(batch.sets.count - usable.count),
            "answer_length_max": lengths.max() ?? 0,
            "answer_limit": Double(batch.limit),
            // Unbiased: the mean over answers drawn of −log p is what entropy is.
            "entropy": -logProbability / tokens,
        ]
    }
}
