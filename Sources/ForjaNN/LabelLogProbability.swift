import ForjaCore
import ForjaRuntime

/// How the language-model head is walked: rows per chunk, so that logits never exist whole.
public struct HeadChunking: Sendable {
    /// Rows of one chunk.
    public var rows: Int

    /// Rows such that a chunk of float32 logits takes about 32 MB, between 64 and 1024.
    public init(vocabulary: Int) {
        rows = min(max(8_388_608 / max(vocabulary, 1) / 64 * 64, 64), 1024)
    }

    public init(rows: Int) { self.rows = rows }

    func ranges(of count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: rows).map { $0..<min($0 + rows, count) }
    }
}

extension StepGraph {
    /// The one loss core: log-probability of each label under the head, `log p = s·zₗ − log Σᵥ exp(s·zᵥ)`,
    /// z = hidden · weightᵀ.
    ///
    /// With `gradient` (dLoss/dLogProb known beforehand: pre-training, SFT), gradients of hidden and weight are made in
    /// the same pass over each chunk of rows: the chunk's logits become their own gradient, then feed two products.
    /// Without it only log-probabilities are made (validation, scoring).
    ///
    /// - Parameters:
    ///   - hidden: `[N, C]`.
    ///   - weight: Head, `[V, C]`; the embedding table when tied.
    ///   - labels: `[N]` int32; negative: no label.
    ///   - gradient: `[N]` float32, dLoss/dLogProb.
    ///   - logitScale: s, 1 / temperature.
    ///   - entropy: `[N]` float32 to receive the entropy of each row in nats.
    ///   - logSumExp: `[N]` float32 to receive log Σᵥ exp(s·zᵥ), which the second pass of the two-pass form reads.
    ///   - group: Ranks that hold `weight` in parts `[V/P, C]`, in order; results are of the whole vocabulary. The
    ///     gradient of hidden is then partial over the group.
    /// - Returns: `[N]` float32; 0 where there is no label.
    /// - Throws: `.shapeMismatch` when the tensors do not fit.
    public func labelLogProbability(
        hidden: Tensor, weight: Tensor, labels: Tensor, gradient: Tensor? = nil,
        logitScale: Float = 1, entropy: Tensor? = nil, logSumExp: Tensor? = nil,
        over group: Collectives = Collectives(), chunking: HeadChunking? = nil
    ) throws(ForjaError) -> Tensor {
        try checkHead(
            hidden: hidden, weight: weight,
            perRow: [labels] + [gradient, entropy, logSumExp].compactMap { $0 })
        let result = transient("label log-probability", [hidden.rows], .float32)
        forEachHeadChunk(
            hidden: hidden, weight: weight, flowsBack: gradient != nil, chunking: chunking
        ) { logits, slice in
            guard group.rankCount == 1 else {
                return recordSharedLogProbability(
                    logits: logits, labels: slice(labels), logProbability: slice(result),
                    lse: logSumExp.map(slice), entropy: entropy.map(slice),
                    gradient: gradient.map(slice), logitScale: logitScale, group: group)
            }
            recordLogProbability(
                logits: logits, labels: slice(labels), logProbability: slice(result),
                lse: logSumExp.map(slice), entropy: entropy.map(slice),
                gradient: gradient.map(slice), logitScale: logitScale)
        }
        return result
    }

    /// The two-pass form for losses whose weights depend on the log-probabilities (DPO, GRPO): logits are made
    /// again chunk by chunk, become their gradient, and flow into hidden and weight. Call when `gradient` has been
    /// written, before `backward()`.
    ///
    /// - Parameters:
    ///   - logSumExp: `[N]` float32 as `labelLogProbability` wrote it for the same `logitScale`.
    ///   - gradient: `[N]` float32, dLoss/dLogProb.
    ///   - group: As `labelLogProbability` took it.
    /// - Throws: `.shapeMismatch` when the tensors do not fit.
    public func labelLogProbabilityBackward(
        hidden: Tensor, weight: Tensor, labels: Tensor, logSumExp: Tensor, gradient: Tensor,
        logitScale: Float = 1, over group: Collectives = Collectives(),
        chunking: HeadChunking? = nil
    ) throws(ForjaError) {
        try checkHead(hidden: hidden, weight: weight, perRow: [labels, logSumExp, gradient])
        forEachHeadChunk(hidden: hidden, weight: weight, flowsBack: true, chunking: chunking) {
            logits, slice in
            recordLogProbabilityBackward(
                logits: logits, labels: slice(labels), lse: slice(logSumExp),
                gradient: slice(gradient), logitScale: logitScale,
                vocabularyStart: group.rank * weight.rows)
        }
    }

    /// One chunk over a shared vocabulary: this part's sums, every rank's, and what follows from them. Three numbers a row
    /// are exchanged at most, never logits.
    private func recordSharedLogProbability(
        logits: Tensor, labels: Tensor, logProbability: Tensor, lse: Tensor?, entropy: Tensor?,
        gradient: Tensor?, logitScale: Float, group: Collectives
    ) {
        let rows = logits.rows
        let kinds = entropy == nil ? 2 : 3
        let start = group.rank * logits.width
        let parts = transient(
            "log-probability parts", [group.rankCount, kinds, rows], .float32)
        let own = { (kind: Int) in
            parts.elements(from: (group.rank * kinds + kind) * rows, count: rows)
        }
        recordLogProbabilityPart(
            logits: logits, vocabularyStart: start, labels: labels, lse: own(0),
            labelLogit: own(1), entropy: entropy.map { _ in own(2) }, logitScale: logitScale)
        recordCollective(.allGather, on: parts, over: group, block: kinds * rows)
        let lse = lse ?? transient("log-sum-exp", [rows], .float32)
        recordLogProbabilityCombine(
            parts: parts, labels: labels, logProbability: logProbability, lse: lse,
            entropy: entropy, vocabulary: group.rankCount * logits.width)
        if let gradient {
            recordLogProbabilityBackward(
                logits: logits, labels: labels, lse: lse, gradient: gradient,
                logitScale: logitScale, vocabularyStart: start)
        }
    }

    private func checkHead(
        hidden: Tensor, weight: Tensor, perRow: [Tensor]
    ) throws(ForjaError) {
        guard hidden.width == weight.width,
            perRow.allSatisfy({ $0.elementCount == hidden.rows })
        else {
            throw ForjaError(
                .shapeMismatch,
                "labelLogProbability: hidden \(hidden.shape), head \(weight.shape), labels and "
                    + "what stands beside them "
                    + perRow.map { "\($0.shape)" }.joined(separator: ", "),
                fix: "give hidden [N, C], head [V, C] and [N] for everything else")
        }
    }

    /// Walks the head: the logits of each chunk of rows, then what `record` makes of them; with `flowsBack` that is
    /// their gradient, and both products that follow from it go into the gradients of hidden and weight.
    ///
    /// - Parameter record: Gets a chunk's logits, `[rows, V]`, and what cuts the chunk's rows out of a tensor `[N]`.
    private func forEachHeadChunk(
        hidden: Tensor, weight: Tensor, flowsBack: Bool, chunking: HeadChunking?,
        _ record: (_ logits: Tensor, _ slice: (Tensor) -> Tensor) -> Void
    ) {
        let ranges = (chunking ?? HeadChunking(vocabulary: weight.rows)).ranges(of: hidden.rows)
        let logits = transient("logits chunk", [ranges[0].count, weight.rows], hidden.dtype)
        let targets =
            flowsBack
            ? (
                hidden: gradientTarget(for: hidden, dtype: hidden.dtype),
                weight: gradientTarget(for: weight, dtype: .float32)
            ) : nil
        for (index, range) in ranges.enumerated() {
            let chunk = logits.rows(0..<range.count)
            recordMatmul(.nt, a: hidden.rows(range), b: weight, c: chunk, name: "head.forward")
            record(chunk) { $0.elements(from: range.lowerBound, count: range.count) }
            guard let targets else { continue }
            recordMatmul(
                .tn, a: chunk, b: hidden.rows(range), c: targets.weight.tensor,
                accumulation: index == 0 ? targets.weight.accumulation : .add,
                name: "head.backward_weight")
            recordMatmul(
                .nn, a: chunk, b: weight, c: targets.hidden.tensor.rows(range),
                accumulation: targets.hidden.accumulation, name: "head.backward_x")
        }
    }
}
