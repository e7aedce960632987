/// What a trainer tells while it works.
public struct TrainingProgress: Sendable {
    public var step: Int
    public var maxSteps: Int
    public var loss: Float
    public var validationLoss: Double?
    public var learningRate: Double
    public var gradientNorm: Float
    public var tokensPerSecond: Double
    /// Model FLOP/s over the device's measured peak; `nil` where the peak was not measured.
    public var modelFlopsUtilization: Double?
    /// Seconds to the last step at the recent rate.
    public var secondsLeft: Double
}

/// Hears nothing.
package struct SilentObserver: TrainingObserver {
    package init() {}
    package func note(_ text: String) {}
    package func progress(_ progress: TrainingProgress) {}
    package func sample(_ text: String, step: Int) {}
}

/// Receives a run's messages: notes as whole lines, progress after every step, samples after validations.
public protocol TrainingObserver {
    func note(_ text: String)
    func progress(_ progress: TrainingProgress)
    func sample(_ text: String, step: Int)
}
