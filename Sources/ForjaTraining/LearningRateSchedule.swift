import ForjaCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Learning rate as a function of the step, 1 for the first update.
///
/// Warm-up is linear from 0 and reaches the peak at step `warmupSteps`. After it:
/// - `constant` stays;
/// - `cosine` falls as half a cosine to `minimumRatio` · peak at the last step (Loshchilov and Hutter, 2017,
///   arXiv:1608.03983);
/// - `linear` falls in a straight line to `minimumRatio` · peak at the last step;
/// - `wsd` stays, then falls in a straight line over the last `decaySteps` (warm-up, stable, decay: Hu and others, 2024,
///   arXiv:2404.06395).
public struct LearningRateSchedule: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case constant, cosine, linear, wsd
    }

    public var kind: Kind
    /// Highest rate.
    public var peak: Double
    public var warmupSteps: Int
    /// `wsd` only.
    public var decaySteps: Int
    public var minimumRatio: Double
    public var maxSteps: Int

    /// Warm-up and decay longer than the run are cut to fit; `adjustments` says so.
    public init(
        kind: Kind, peak: Double, warmupSteps: Int, decaySteps: Int = 0,
        minimumRatio: Double = 0, maxSteps: Int
    ) {
        self.kind = kind
        self.peak = peak
        self.minimumRatio = minimumRatio
        self.maxSteps = maxSteps
        self.warmupSteps = min(warmupSteps, maxSteps)
        self.decaySteps = min(decaySteps, maxSteps - self.warmupSteps)
        var notes: [String] = []
        if self.warmupSteps < warmupSteps {
            notes.append("schedule.warmup_steps \(warmupSteps) cut to \(self.warmupSteps)")
        }
        if kind == .wsd, self.decaySteps < decaySteps {
            notes.append("schedule.decay_steps \(decaySteps) cut to \(self.decaySteps)")
        }
        adjustments =
            notes.isEmpty
            ? nil : notes.joined(separator: ", ") + ": the run has \(maxSteps) steps"
    }

    /// What was cut to fit the run, in one line.
    public let adjustments: String?

    /// - Parameter step: From 1 to `maxSteps`.
    public func learningRate(at step: Int) -> Double {
        if step <= warmupSteps { return peak * Double(step) / Double(warmupSteps) }
        let floor = peak * minimumRatio
        switch kind {
        case .constant:
            return peak
        case .cosine:
            let progress = Double(step - warmupSteps) / Double(max(maxSteps - warmupSteps, 1))
            return floor + (peak - floor) * 0.5 * (1 + cos(Double.pi * min(progress, 1)))
        case .linear:
            let progress = Double(step - warmupSteps) / Double(max(maxSteps - warmupSteps, 1))
            return peak - (peak - floor) * min(progress, 1)
        case .wsd:
            let decayStart = maxSteps - decaySteps
            guard step > decayStart else { return peak }
            let progress = Double(step - decayStart) / Double(max(decaySteps, 1))
            return peak - (peak - floor) * min(progress, 1)
        }
    }
}
