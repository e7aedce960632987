import ForjaObjectives

/// What one optimizer step reports.
public struct StepResult: Sendable {
    /// Before the update; for likelihood the mean over the step's labels of −log p, in nats per token, unless their sum is
    /// asked for.
    public var loss: Float
    /// Norm of the gradient before clipping.
    public var gradientNorm: Float
    /// Whether loss and norm were finite; when not, no weight changed.
    public var isFinite: Bool
    public var labelCount: Int
    /// The objective's figures, of all ranks; none with `LossForm.onePass`.
    public var metrics = ObjectiveMetrics()
}
