/// Figures of an objective, kept so that those of microsteps and ranks add up to those of the step.
public struct ObjectiveMetrics: Sendable, Equatable, Codable {
    private struct Mean: Equatable, Codable {
        var sum = 0.0
        var weight = 0.0
    }

    private var means: [String: Mean] = [:]
    private var maxima: [String: Double] = [:]

    public init() {}

    /// Adds `value` to the mean called `name`.
    public mutating func add(_ name: String, _ value: Double, weight: Double = 1) {
        means[name, default: Mean()].sum += value * weight
        means[name, default: Mean()].weight += weight
    }

    /// Keeps the greatest value given under `name`.
    public mutating func raise(_ name: String, to value: Double) {
        maxima[name] = max(maxima[name] ?? -.infinity, value)
    }

    /// Takes in the figures of another part of the step.
    public mutating func merge(_ other: ObjectiveMetrics) {
        for (name, mean) in other.means {
            means[name, default: Mean()].sum += mean.sum
            means[name, default: Mean()].weight += mean.weight
        }
        for (name, value) in other.maxima { raise(name, to: value) }
    }

    /// The figures by name; a mean of nothing is left out.
    public var values: [String: Double] {
        means.filter { $0.value.weight > 0 }.mapValues { $0.sum / $0.weight }
            .merging(maxima) { mean, _ in mean }
    }
}
