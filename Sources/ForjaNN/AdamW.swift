import ForjaCore
import ForjaRuntime

/// AdamW's constants. Loshchilov and Hutter, 2019, arXiv:1711.05101.
public struct AdamWSettings: Hashable, Sendable, Codable {
    public var beta1: Float
    public var beta2: Float
    public var epsilon: Float
    /// Decoupled decay, multiplied by the learning rate.
    public var weightDecay: Float
    /// Whether norms' weights decay too, or only matrices.
    public var decaysOnlyMatrices: Bool

    public init(
        beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, decaysOnlyMatrices: Bool
    ) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.decaysOnlyMatrices = decaysOnlyMatrices
    }
}

/// First and second moment of one parameter, or of the elements of it that a rank updates: float32, zero at the start.
public struct AdamWState: Sendable {
    public let parameter: Parameter
    /// Of the parameter, counted in memory order.
    public let elements: Range<Int>
    public let firstMoment: Variable
    public let secondMoment: Variable

    /// - Parameter elements: `nil`: all of them.
    public init(for parameter: Parameter, elements: Range<Int>? = nil) {
        self.parameter = parameter
        self.elements = elements ?? 0..<parameter.shape.elementCount
        let isWhole = self.elements.count == parameter.shape.elementCount
        let shape = isWhole ? parameter.shape : [self.elements.count]
        firstMoment = Variable(
            name: "\(parameter.name).first_moment", shape: shape, dtype: .float32)
        secondMoment = Variable(
            name: "\(parameter.name).second_moment", shape: shape, dtype: .float32)
    }
}

extension StepGraph {
    /// The end of a step: global gradient norm, clip scale, finite flag, then one update of every parameter.
    ///
    /// The update is multiplied by the clip scale and does nothing when the flag is down, so no host decision stands
    /// between backward and update. Moments and masters are float32.
    ///
    /// - Parameters:
    ///   - states: What is updated.
    ///   - gradients: Of the same elements, float32, in the same order.
    ///   - scalars: The step scalars (`StepScalar`).
    ///   - group: Ranks among which some parameters are split: the norm counts every rank's part of those, and once what
    ///     all have.
    ///   - isSplit: Whether each rank has a part of that parameter.
    public func adamW(
        states: [AdamWState], gradients: [Tensor], scalars: Tensor, settings: AdamWSettings,
        over group: Collectives = Collectives(), isSplit: (Parameter) -> Bool = { _ in false }
    ) {
        let places = states.indices
        let common = places.filter { !isSplit(states[$0].parameter) }.map { gradients[$0] }
        let split = places.filter { isSplit(states[$0].parameter) }.map { gradients[$0] }
        let commonCount = Self.sumSquaresCount(common.map(\.elementCount))
        let splitCount = Self.sumSquaresCount(split.map(\.elementCount))
        let partials = transient(
            "gradient norm partials", [commonCount + group.rankCount * splitCount], .float32)
        recordSumSquares(of: common, into: partials)
        let parts = partials.elements(from: commonCount, count: group.rankCount * splitCount)
        recordSumSquares(
            of: split, into: parts.elements(from: group.rank * splitCount, count: splitCount))
        recordCollective(.allGather, on: parts, over: group, block: splitCount)
        recordGradientNorm(partials: partials, scalars: scalars)
        for (state, gradient) in zip(states, gradients) {
            recordAdamW(state, gradient: gradient, scalars: scalars, settings: settings)
        }
    }

    /// One update of what `state` covers, with norm and flag known.
    package func recordAdamW(
        _ state: AdamWState, gradient: Tensor, scalars: Tensor, settings: AdamWSettings
    ) {
        precondition(gradient.elementCount == state.elements.count)
        let parameter = state.parameter
        let part = { (variable: Variable) in
            self.tensor(variable).elements(
                from: state.elements.lowerBound, count: state.elements.count)
        }
        recordAdamW(
            weight: part(parameter.master),
            lowPrecisionCopy: parameter.compute === parameter.master
                ? nil : part(parameter.compute),
            gradient: gradient, firstMoment: tensor(state.firstMoment),
            secondMoment: tensor(state.secondMoment), scalars: scalars, beta1: settings.beta1,
            beta2: settings.beta2, epsilon: settings.epsilon,
            weightDecay: parameter.isMatrix || !settings.decaysOnlyMatrices
                ? settings.weightDecay : 0)
    }
}
