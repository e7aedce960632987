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

/// First and second moment of one parameter, float32, zero at the start.
public struct AdamWState: Sendable {
    public let firstMoment: Variable
    public let secondMoment: Variable

    public init(for parameter: Parameter) {
        firstMoment = Variable(
            name: "\(parameter.name).first_moment", shape: parameter.shape, dtype: .float32)
        secondMoment = Variable(
            name: "\(parameter.name).second_moment", shape: parameter.shape, dtype: .float32)
    }
}

extension StepGraph {
    /// The end of a step: global gradient norm, clip scale, finite flag, then one update of every parameter.
    ///
    /// The update is multiplied by the clip scale and does nothing when the flag is down, so no host decision stands
    /// between backward and update. Moments and masters are float32.
    ///
    /// - Parameters:
    ///   - gradients: One per parameter, float32, in the same order.
    ///   - scalars: The step scalars (`StepScalar`).
    public func adamW(
        parameters: [Parameter], gradients: [Tensor], states: [AdamWState], scalars: Tensor,
        settings: AdamWSettings
    ) {
        precondition(parameters.count == gradients.count && parameters.count == states.count)
        recordGradientNorm(of: gradients, scalars: scalars)
        for ((parameter, gradient), state) in zip(zip(parameters, gradients), states) {
            recordAdamW(
                weight: tensor(parameter.master),
                lowPrecisionCopy: parameter.compute === parameter.master
                    ? nil : tensor(parameter.compute),
                gradient: gradient, firstMoment: tensor(state.firstMoment),
                secondMoment: tensor(state.secondMoment), scalars: scalars, beta1: settings.beta1,
                beta2: settings.beta2, epsilon: settings.epsilon,
                weightDecay: parameter.isMatrix || !settings.decaysOnlyMatrices
                    ? settings.weightDecay : 0)
        }
    }
}
