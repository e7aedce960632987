/// Settings of group relative policy optimisation under the name of the work that used them.
public struct GroupRelativePreset: Sendable, Equatable {
    public var objective: GroupRelativeObjective.Settings
    public var advantages: AdvantageRule
    public var overlong: OverlongRule

    /// DeepCoder's GRPO+: no entropy and no KL term, ε 0.2 and 0.28, token mean, cut wrong answers ignored.
    public static let grpoPlus: GroupRelativePreset = {
        var settings = GroupRelativeObjective.Settings()
        settings.clipHigh = 0.28
        return GroupRelativePreset(
            objective: settings, advantages: .standard(deviation: .sample, delta: 1e-6),
            overlong: .ignoreWrong)
    }()

    /// Tülu 3.1: ε 0.2 on both sides, KL in the loss with β 0.01, nothing for answers without an end token.
    public static let tulu31: GroupRelativePreset = {
        var settings = GroupRelativeObjective.Settings()
        settings.klWeight = 0.01
        return GroupRelativePreset(
            objective: settings, advantages: .standard(deviation: .population, delta: 1e-8),
            overlong: .zero)
    }()

    /// Dr. GRPO: centred advantages, and a constant for the sum.
    ///
    /// - Parameter length: Tokens of the longest answer possible.
    public static func drGRPO(length: Int) -> GroupRelativePreset {
        var settings = GroupRelativeObjective.Settings()
        settings.aggregation = .constant(length: length)
        return GroupRelativePreset(
            objective: settings, advantages: .centred, overlong: .none)
    }
}
