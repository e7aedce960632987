import ForjaCore
import ForjaNN
import ForjaParallel
import ForjaRuntime

/// How a tensor group of P ranks shares one Llama: the one table that says which part of each parameter a rank holds.
///
///     embedding, head          [V, C]            rows, V/P labels each
///     attention_fused          [(H + 2G)·D, C]   rows: H/P query, G/P key and G/P value heads
///     attention_output         [C, H·D]          columns: the same heads
///     gate_up                  [2F, C]           rows: F/P of gate, F/P of up
///     down                     [C, F]            columns: the same
///     norms                    [C]               whole on every rank
///
/// Shoeybi and others, 2019, arXiv:1909.08053. A query head stands with its key-value head, so P divides G.
public struct LlamaSharding: Sendable {
    public let group: Collectives
    /// H/P and G/P.
    public let heads: Int
    public let keyValueHeads: Int

    public let vocabulary: ParameterSlice
    public let attentionFused: ParameterSlice
    public let attentionOutput: ParameterSlice
    public let gateUp: ParameterSlice
    public let down: ParameterSlice
    public let norm: ParameterSlice

    /// - Throws: `.invalidInput` naming the valid degrees when the model does not divide by the group.
    public init(
        _ configuration: LlamaConfiguration, over group: Collectives
    ) throws(ForjaError) {
        try Self.check(configuration, degree: group.rankCount)
        self.init(checked: configuration, over: group)
    }

    /// One device.
    init(single configuration: LlamaConfiguration) {
        self.init(checked: configuration, over: Collectives())
    }

    private init(checked c: LlamaConfiguration, over group: Collectives) {
        self.group = group
        heads = c.heads / group.rankCount
        keyValueHeads = c.keyValueHeads / group.rankCount
        func slice(_ shape: Shape, _ split: ParameterSlice.Split) -> ParameterSlice {
            ParameterSlice(shape, split: split, rank: group.rank, rankCount: group.rankCount)
        }
        let query = c.heads * c.headWidth
        let keyValue = c.keyValueHeads * c.headWidth
        vocabulary = slice([c.vocabularySize, c.width], .rows(sections: [c.vocabularySize]))
        attentionFused = slice(
            [c.fusedWidth, c.width], .rows(sections: [query, keyValue, keyValue]))
        attentionOutput = slice([c.width, query], .columns)
        gateUp = slice(
            [2 * c.feedForwardWidth, c.width],
            .rows(sections: [c.feedForwardWidth, c.feedForwardWidth]))
        down = slice([c.width, c.feedForwardWidth], .columns)
        norm = slice([c.width], .none)
    }

    /// How `count` rows of a batch are held: shared where they divide. Single tokens of generation do not.
    func rows(_ count: Int) -> RowSharing {
        RowSharing(group, isShared: count % group.rankCount == 0)
    }

    /// What runs the collectives of a forward pass; `nil` on one device.
    package func lane(on device: Device) throws(ForjaError) -> CommunicationLane? {
        group.rankCount > 1 ? try CommunicationLane(device: device, overlaps: false) : nil
    }

    /// Refuses degrees that the model, or a microstep's rows, do not divide by.
    ///
    /// - Parameter rows: B·T of a microstep that is trained on; `nil` when none is.
    /// - Throws: `.invalidInput` naming the valid degrees.
    public static func check(
        _ c: LlamaConfiguration, degree: Int, rows: Int? = nil
    ) throws(ForjaError) {
        var split = [
            ("the model has", c.heads, "heads"),
            ("the model has", c.keyValueHeads, "key-value heads"),
            ("the model has", c.feedForwardWidth, "feed-forward columns"),
            ("the model has", c.vocabularySize, "vocabulary rows"),
        ]
        if let rows { split.append(("a microstep has", rows, "tokens")) }
        guard let (owner, count, name) = split.first(where: { degree < 1 || $0.1 % degree != 0 })
        else { return }
        let valid = (1...c.keyValueHeads)
            .filter { degree in split.allSatisfy { $0.1 % degree == 0 } }
        throw ForjaError(
            .invalidInput, "parallel.tensor is \(degree) but \(owner) \(count) \(name)",
            fix: "set parallel.tensor to " + valid.map(String.init).joined(separator: ", "))
    }

    /// A slice's values from every rank of the group, joined. Every rank of the group calls it.
    package func joined(_ slice: ParameterSlice, _ own: [Float]) throws(ForjaError) -> [Float] {
        guard !slice.isReplicated else { return own }
        var all = [Float](repeating: 0, count: own.count * slice.rankCount)
        all.replaceSubrange(group.rank * own.count..<(group.rank + 1) * own.count, with: own)
        let share = own.count
        group.progress.beginCollective()
        try all.withUnsafeMutableBufferPointer { values throws(ForjaError) in
            try group.communicator.allGather(
                UnsafeMutableRawBufferPointer(values),
                bounds: (0...slice.rankCount).map { $0 * share * 4 })
        }
        return slice.joined(all)
    }
}

extension LlamaModel {
    /// Which part of a parameter this rank holds.
    public func slice(of parameter: Parameter) -> ParameterSlice { slices[parameter.name]! }

    /// A parameter's float32 values, joined from all ranks of the group. Every rank of it calls it.
    public func wholeMaster(
        of parameter: Parameter, on queue: Queue
    ) throws(ForjaError) -> [Float] {
        try sharding.joined(
            slice(of: parameter), parameter.master.read(Float.self, on: queue))
    }
}

extension ParameterSlice {
    /// How the rows of one tensor of a checkpoint, which are a section of this parameter, are split.
    func section(_ shape: Shape) -> ParameterSlice {
        let split: Split = if case .rows = split { .rows(sections: [shape.rows]) } else { split }
        return ParameterSlice(shape, split: split, rank: rank, rankCount: rankCount)
    }
}
