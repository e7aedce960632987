import Foundation

/// What stops and checkpoints leave of a run's time.
///
/// Stops come independently at a constant rate, on average every M seconds. A checkpoint makes training wait C seconds
/// after every τ seconds of work; a stop loses the work since the last one and R seconds more. The time that τ seconds
/// of work take is then
///
///     M · exp(R/M) · (exp((τ + C)/M) − 1)
///
/// and the best τ is near √(2·C·M): Young, 1974 (doi:10.1145/361147.361115); Daly, 2006
/// (doi:10.1016/j.future.2004.11.016), whose formulas these are.
public struct RunProjection: Sendable, Equatable {
    /// M, seconds.
    public let meanSecondsBetweenStops: Double
    /// C, seconds.
    public let checkpointSeconds: Double
    /// R, seconds.
    public let restartSeconds: Double
    /// τ, seconds of work between checkpoints.
    public let intervalSeconds: Double
    /// Share of the time that goes into steps that count.
    public let effectiveFraction: Double

    /// - Parameter intervalSeconds: τ; `nil` takes the best.
    public init(
        meanSecondsBetweenStops: Double, checkpointSeconds: Double, restartSeconds: Double,
        intervalSeconds: Double? = nil
    ) {
        self.meanSecondsBetweenStops = meanSecondsBetweenStops
        self.checkpointSeconds = checkpointSeconds
        self.restartSeconds = restartSeconds
        let interval =
            intervalSeconds
            ?? Self.bestInterval(
                meanSecondsBetweenStops: meanSecondsBetweenStops,
                checkpointSeconds: checkpointSeconds)
        self.intervalSeconds = interval
        effectiveFraction = Self.effectiveFraction(
            interval: interval, meanSecondsBetweenStops: meanSecondsBetweenStops,
            checkpointSeconds: checkpointSeconds, restartSeconds: restartSeconds)
    }

    /// The run of a workload on a cluster, checkpointing masters and moments, 12 bytes a parameter.
    public init(
        workload: ClusterWorkload, plan: ClusterPlan, reliability: ClusterProfile.Reliability,
        intervalSeconds: Double? = nil
    ) {
        let perDay = reliability.stopsPerThousandNodeDays / 1000 * Double(plan.nodes)
        self.init(
            meanSecondsBetweenStops: perDay > 0 ? 86_400 / perDay : .infinity,
            checkpointSeconds: workload.parameters * 12
                / (reliability.checkpointBytesPerSecondPerNode * Double(plan.nodes)),
            restartSeconds: reliability.restartSeconds, intervalSeconds: intervalSeconds)
    }

    /// Daly's higher-order estimate of the best τ: √(2CM)·(1 + √(C/2M)/3 + C/18M) − C where C < 2M, else M.
    public static func bestInterval(
        meanSecondsBetweenStops mean: Double, checkpointSeconds cost: Double
    ) -> Double {
        guard mean.isFinite else { return .infinity }
        guard cost < 2 * mean else { return mean }
        let ratio = cost / (2 * mean)
        return (2 * cost * mean).squareRoot() * (1 + ratio.squareRoot() / 3 + ratio / 9) - cost
    }

    /// τ over the time that τ seconds of work take.
    public static func effectiveFraction(
        interval: Double, meanSecondsBetweenStops mean: Double, checkpointSeconds cost: Double,
        restartSeconds: Double
    ) -> Double {
        guard interval.isFinite else { return 1 }
        guard mean.isFinite else { return interval / (interval + cost) }
        // Free checkpoints may be taken without end: the limit of ever shorter intervals.
        guard interval > 0 else { return exp(-restartSeconds / mean) }
        return interval / (mean * exp(restartSeconds / mean) * expm1((interval + cost) / mean))
    }
}
