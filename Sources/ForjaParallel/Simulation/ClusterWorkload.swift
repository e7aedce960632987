/// What a model asks of one device for one microbatch: kernels, parameters and activations of its parts.
///
/// A model makes it from the dispatches it records (`LlamaConfiguration.clusterWorkload`), for the slice that one rank
/// of a tensor-parallel and context-parallel group holds. The simulator knows nothing else about a model.
public struct ClusterWorkload: Sendable {
    /// One kernel of one device.
    public struct Kernel: Hashable, Sendable {
        public enum Kind: Hashable, Sendable {
            case matmul, attentionForward, attentionBackward, elementwise
        }

        public var kind: Kind
        public var flops: Double
        /// Bytes that must move at the least.
        public var bytes: Double

        public init(kind: Kind, flops: Double, bytes: Double) {
            self.kind = kind
            self.flops = flops
            self.bytes = bytes
        }
    }

    /// A part of the model that is kept and updated as one: a decoder block, the embedding, the head.
    public struct Block: Sendable {
        public var forward: [Kernel]
        /// Recomputation included.
        public var backward: [Kernel]
        /// Held by one tensor-parallel rank.
        public var parameters: Double
        /// Activations kept for backward, bytes of one microbatch.
        public var savedBytes: Double

        public init(
            forward: [Kernel], backward: [Kernel], parameters: Double, savedBytes: Double
        ) {
            self.forward = forward
            self.backward = backward
            self.parameters = parameters
            self.savedBytes = savedBytes
        }
    }

    public var layers: Int
    public var layer: Block
    public var embedding: Block
    /// Final norm, head and loss; the loss core makes its gradients in the forward pass.
    public var head: Block
    /// Bytes live at the peak of a pass beyond what is kept: gradients of activations, logits.
    public var transientBytes: Double
    /// One `[rows, C]` activation of a context-parallel rank, before tensor-parallel ranks share it.
    public var activationBytes: Double
    /// Keys and values of one block over the whole sequence, held by one tensor-parallel rank.
    public var keyValueBytes: Double
    /// Rows of one microbatch on one context-parallel rank.
    public var rows: Double
    /// Tokens of one microbatch over all context-parallel ranks.
    public var tokensPerMicrobatch: Double
    /// Model floating-point operations of training on one token, recomputation excluded.
    public var flopsPerToken: Double
    /// Parameters of the whole model.
    public var parameters: Double
    /// `bf16` or `f32`.
    public var format: String

    public init(
        layers: Int, layer: Block, embedding: Block, head: Block, transientBytes: Double,
        activationBytes: Double, keyValueBytes: Double, rows: Double,
        tokensPerMicrobatch: Double, flopsPerToken: Double, parameters: Double, format: String
    ) {
        self.layers = layers
        self.layer = layer
        self.embedding = embedding
        self.head = head
        self.transientBytes = transientBytes
        self.activationBytes = activationBytes
        self.keyValueBytes = keyValueBytes
        self.rows = rows
        self.tokensPerMicrobatch = tokensPerMicrobatch
        self.flopsPerToken = flopsPerToken
        self.parameters = parameters
        self.format = format
    }

    /// Bytes of one weight as kernels read it.
    public var weightBytes: Double { format == "bf16" ? 2 : 4 }
    /// Whether the optimizer keeps a float32 master beside the weights kernels read.
    public var hasMaster: Bool { format == "bf16" }
}

extension ClusterProfile {
    /// Seconds of one kernel: what compute or memory takes, whichever is longer, and its launch.
    ///
    /// - Parameter elementwiseTraffic: Memory traffic of elementwise kernels over that of fused ones.
    public func seconds(
        of kernel: ClusterWorkload.Kernel, rates: Rates, elementwiseTraffic: Double = 1
    ) -> Double {
        let compute: Double
        var bytes = kernel.bytes
        switch kernel.kind {
        case .matmul:
            compute = kernel.flops / rates.matmulFlopsPerSecond(flops: kernel.flops)
        case .attentionForward: compute = kernel.flops / rates.attentionForwardFlopsPerSecond
        case .attentionBackward: compute = kernel.flops / rates.attentionBackwardFlopsPerSecond
        case .elementwise:
            compute = 0
            bytes *= elementwiseTraffic
        }
        return max(compute, bytes / memoryBytesPerSecond) + kernelLaunchSeconds
    }
}
