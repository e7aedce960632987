import ForjaData
import ForjaObjectives

/// One accumulated pass: tokens and labels for the model, and what the objective knows about them.
public struct Microbatch: Sendable {
    public var batch: Batch
    public var labels: ObjectiveBatch

    public init(batch: Batch, labels: ObjectiveBatch) {
        precondition(batch.labels.count == labels.isLabel.count)
        self.batch = batch
        self.labels = labels
    }

    /// - Parameter sequences: As `ObjectiveBatch` takes them.
    public init(_ batch: Batch, sequences: [Range<Int>]? = nil) {
        self.init(
            batch: batch,
            labels: ObjectiveBatch(isLabel: batch.labels.map { $0 >= 0 }, sequences: sequences))
    }
}

/// What a rank trains on in one optimizer step.
public struct StepWork: Sendable {
    /// One per microstep, in order.
    public var microbatches: [Microbatch]
    /// With `LossForm.onePass` a `LikelihoodObjective`.
    public var objective: any Objective
    /// The stage's own figures for metrics.jsonl; the first rank's are written.
    public var metrics: [String: Double]

    public init(
        microbatches: [Microbatch], objective: any Objective, metrics: [String: Double] = [:]
    ) {
        self.microbatches = microbatches
        self.objective = objective
        self.metrics = metrics
    }
}
