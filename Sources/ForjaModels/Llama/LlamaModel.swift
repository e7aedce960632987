import ForjaCore
import ForjaNN
import ForjaParallel
import ForjaRuntime

/// A Llama-3.1-style decoder: pre-norm blocks of grouped-query attention with rotary positions and a gated
/// feed-forward, no biases. Grattafiori and others, 2024, arXiv:2407.21783.
///
/// Queries, keys and values are one projection, gate and up another: two products where Hugging Face has five. The
/// checkpoint map splits them. A rank of a tensor group holds a part of each matrix; shapes below are the whole's.
public final class LlamaModel: Sendable {
    /// One decoder block's parameters.
    public struct Layer: Sendable {
        /// `[C]`
        public let attentionNorm: Parameter
        /// `[(H + 2G)·D, C]`: query heads, key heads, value heads.
        public let attentionFused: Parameter
        /// `[C, H·D]`
        public let attentionOutput: Parameter
        /// `[C]`
        public let feedForwardNorm: Parameter
        /// `[2F, C]`: gate rows, then up rows.
        public let gateUp: Parameter
        /// `[C, F]`
        public let down: Parameter

        var all: [Parameter] {
            [attentionNorm, attentionFused, attentionOutput, feedForwardNorm, gateUp, down]
        }
    }

    /// Of the whole model.
    public let configuration: LlamaConfiguration
    public let sharding: LlamaSharding
    /// By parameter name.
    let slices: [String: ParameterSlice]
    /// Type of weights' copies and activations: float32 or bfloat16.
    public let computeType: DType
    /// `[V, C]`
    public let embedding: Parameter
    public let layers: [Layer]
    /// `[C]`
    public let finalNorm: Parameter
    /// `[V, C]`; the embedding itself when tied.
    public let head: Parameter
    /// Rotary tables, `[positions, D / 2]` float32.
    public let cosine: Variable
    public let sine: Variable
    /// Positions the rotary tables cover.
    public let positions: Int

    /// Declares the parameters; nothing is allocated.
    ///
    /// - Parameters:
    ///   - positions: Longest sequence this model will see.
    ///   - isTrained: Without training, bfloat16 weights have no float32 master.
    ///   - sharding: How a tensor group shares this configuration; one device without it.
    public init(
        _ configuration: LlamaConfiguration, computeType: DType, positions: Int,
        isTrained: Bool = true, sharding: LlamaSharding? = nil
    ) {
        let sharding = sharding ?? LlamaSharding(single: configuration)
        self.configuration = configuration
        self.sharding = sharding
        self.computeType = computeType
        self.positions = positions
        let c = configuration
        var slices: [String: ParameterSlice] = [:]
        func parameter(_ name: String, _ slice: ParameterSlice) -> Parameter {
            slices[name] = slice
            return Parameter(
                name: name, shape: slice.shape, computeType: computeType, isTrained: isTrained)
        }
        embedding = parameter("embedding", sharding.vocabulary)
        layers = (0..<c.layers).map { index in
            let prefix = "layers.\(index)"
            return Layer(
                attentionNorm: parameter("\(prefix).attention_norm", sharding.norm),
                attentionFused: parameter(
                    "\(prefix).attention_fused", sharding.attentionFused),
                attentionOutput: parameter(
                    "\(prefix).attention_output", sharding.attentionOutput),
                feedForwardNorm: parameter("\(prefix).feed_forward_norm", sharding.norm),
                gateUp: parameter("\(prefix).gate_up", sharding.gateUp),
                down: parameter("\(prefix).down", sharding.down))
        }
        finalNorm = parameter("final_norm", sharding.norm)
        head = c.tiesEmbeddings ? embedding : parameter("head", sharding.vocabulary)
        self.slices = slices
        cosine = Variable(
            name: "rope.cosine", shape: [positions, c.headWidth / 2], dtype: .float32)
        sine = Variable(name: "rope.sine", shape: [positions, c.headWidth / 2], dtype: .float32)
    }

    /// Every parameter once, in a fixed order: the order of optimizer state, norms and checkpoints.
    public var parameters: [Parameter] {
        [embedding] + layers.flatMap(\.all) + [finalNorm]
            + (configuration.tiesEmbeddings ? [] : [head])
    }

    /// Allocates parameters and tables and fills the tables.
    public func allocate(on queue: Queue) throws(ForjaError) {
        for parameter in parameters {
            try parameter.compute.allocate(on: queue.device)
            try parameter.master.allocate(on: queue.device)
        }
        let table = RoPETable(
            positions: positions, headWidth: configuration.headWidth,
            base: configuration.ropeBase, scaling: configuration.ropeScaling)
        try cosine.allocate(on: queue.device)
        try sine.allocate(on: queue.device)
        try cosine.write(table.cosine, on: queue)
        try sine.write(table.sine, on: queue)
    }

    /// Where attention finds keys and values.
    package enum AttentionSource {
        /// Beside the queries: training and scoring over whole sequences.
        case sequences(length: Int, documentStart: Tensor?)
        /// In caches, per layer `[B, S, G·D]`; new rows stand from `position` on, at absolute `positions`.
        case cache(keys: [Tensor], values: [Tensor], position: Tensor, positions: Tensor)
    }

    /// Records the decoder up to the final norm.
    ///
    /// - Parameters:
    ///   - tokens: `[B·T]` int32.
    ///   - batch: B.
    /// - Returns: `[B·T, C]`.
    package func hidden(
        in graph: StepGraph, tokens: Tensor, batch: Int, source: AttentionSource
    ) throws(ForjaError) -> Tensor {
        let c = configuration
        let length = tokens.elementCount / batch
        let cosine = graph.tensor(cosine)
        let sine = graph.tensor(sine)
        let (heads, keyValueHeads) = (sharding.heads, sharding.keyValueHeads)
        let rows = sharding.rows(tokens.elementCount)
        var x = graph.sumRows(
            try graph.embedding(
                ids: tokens, table: graph.tensor(embedding.compute), over: sharding.group),
            over: rows)
        for (index, layer) in layers.enumerated() {
            x = try graph.block("layer \(index)") { () throws(ForjaError) -> Tensor in
                let normed = try graph.rmsNorm(
                    x, weight: graph.tensor(layer.attentionNorm.compute), epsilon: c.normEpsilon)
                let fused = try graph.linear(
                    graph.gatherRows(normed, over: rows),
                    weight: graph.tensor(layer.attentionFused.compute),
                    name: "attention_fused")
                let mixed: Tensor
                switch source {
                case .sequences(let sequenceLength, let documentStart):
                    try graph.rope(
                        inPlace: fused, cosine: cosine, sine: sine,
                        sequenceLength: sequenceLength, heads: heads + keyValueHeads,
                        headWidth: c.headWidth)
                    mixed = try graph.attention(
                        fused: fused, batch: batch, sequenceLength: sequenceLength,
                        heads: heads, keyValueHeads: keyValueHeads, headWidth: c.headWidth,
                        documentStart: documentStart)
                case .cache(let keys, let values, let position, let positions):
                    try graph.rope(
                        inPlace: fused, cosine: cosine, sine: sine, positions: positions,
                        sequenceLength: length, heads: heads + keyValueHeads,
                        headWidth: c.headWidth)
                    mixed = try graph.cachedAttention(
                        fused: fused, keys: keys[index], values: values[index],
                        position: position, batch: batch, newPositions: length, heads: heads,
                        keyValueHeads: keyValueHeads, headWidth: c.headWidth)
                }
                let attended = try graph.residualAdd(
                    x,
                    branch: graph.sumRows(
                        graph.linear(
                            mixed, weight: graph.tensor(layer.attentionOutput.compute),
                            name: "attention_output"), over: rows))
                let normedAgain = try graph.rmsNorm(
                    attended, weight: graph.tensor(layer.feedForwardNorm.compute),
                    epsilon: c.normEpsilon)
                let gateUp = try graph.linear(
                    graph.gatherRows(normedAgain, over: rows),
                    weight: graph.tensor(layer.gateUp.compute), name: "gate_up")
                return try graph.residualAdd(
                    attended,
                    branch: graph.sumRows(
                        graph.linear(
                            graph.swiGLU(gateUp), weight: graph.tensor(layer.down.compute),
                            name: "down"), over: rows))
            }
        }
        return graph.gatherRows(
            try graph.rmsNorm(
                x, weight: graph.tensor(finalNorm.compute), epsilon: c.normEpsilon), over: rows)
    }
}
