import ForjaParallel
import ForjaRuntime

/// How a step gets from log-probabilities of labels to gradients.
public enum LossForm: Hashable, Sendable {
    /// Likelihood: every label's weight is known beforehand, so loss and gradients are made in one pass over the head.
    case onePass
    /// Any objective: the step's graph is cut in two, and between its parts the host turns log-probabilities into their
    /// derivatives. The head is walked twice, everything before it once.
    case twoPass
}

/// The shape of a step: what the graphs are recorded for.
public struct StepShape: Hashable, Sendable {
    /// Sequences of one microstep on this rank, B.
    public var sequences: Int
    /// T.
    public var sequenceLength: Int
    /// Microsteps of one optimizer step.
    public var accumulation: Int
    /// Whether attention stays inside documents.
    public var documentMask: Bool
    public var recompute: StepGraph.RecomputePolicy
    public var lossForm: LossForm
    /// What logits are multiplied by: 1 / temperature of the sampler whose answers are trained on; 1 with `.onePass`.
    public var logitScale: Float

    public init(
        sequences: Int, sequenceLength: Int, accumulation: Int = 1, documentMask: Bool = false,
        recompute: StepGraph.RecomputePolicy = .none, lossForm: LossForm = .onePass,
        logitScale: Float = 1
    ) {
        precondition(lossForm == .twoPass || logitScale == 1)
        self.sequences = sequences
        self.sequenceLength = sequenceLength
        self.accumulation = accumulation
        self.documentMask = documentMask
        self.recompute = recompute
        self.lossForm = lossForm
        self.logitScale = logitScale
    }

    /// Of this rank.
    public var tokensPerStep: Int { sequences * sequenceLength * accumulation }

    /// For each microstep this rank's places among the sequences of the whole step.
    ///
    /// A microstep's rows lie together, and in them those of each data-parallel rank: all ranks together train on the rows
    /// of one device.
    public func places(of rank: MeshRank) -> [Range<Int>] {
        (0..<accumulation).map { index in
            let first = (index * rank.mesh.data + rank.mesh.dataIndex(of: rank.rank)) * sequences
            return first..<(first + sequences)
        }
    }
}
