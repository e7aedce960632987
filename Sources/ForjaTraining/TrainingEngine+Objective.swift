import ForjaCore
import ForjaData
import ForjaModels
import ForjaNN
import ForjaObjectives
import ForjaParallel
import ForjaRuntime
import Foundation

/// Steps in two passes: an objective on the host between the forward and the backward part of the recorded step.
///
///     part 0   model, head: log p of every label, log-sum-exp kept
///     host     objective: loss, dLoss/dLogProb
///     part 1   head again from the kept log-sum-exp, backward, and with one graph a step the update
///
/// Nothing before the head is computed twice, and a microstep waits for the host once.
extension TrainingEngine {
    /// Records head and cut; `backward()` and what ends the step come after.
    static func recordTwoPasses(
        in graph: StepGraph, hidden: Tensor, model: LlamaModel, shape: StepShape,
        labels: Variable, logProbability: Variable, gradient: Tensor
    ) throws(ForjaError) {
        let (weight, labels) = (graph.tensor(model.head.compute), graph.tensor(labels))
        let logSumExp = graph.transient("log-sum-exp", [hidden.rows], .float32)
        graph.copy(
            try graph.labelLogProbability(
                hidden: hidden, weight: weight, labels: labels, logitScale: shape.logitScale,
                logSumExp: logSumExp, over: model.sharding.group),
            into: logProbability)
        graph.cut()
        try graph.labelLogProbabilityBackward(
            hidden: hidden, weight: weight, labels: labels, logSumExp: logSumExp,
            gradient: gradient, logitScale: shape.logitScale, over: model.sharding.group)
    }

    func twoPassStep(
        number: Int, work: StepWork, learningRate: Float, maxGradientNorm: Float
    ) throws(ForjaError) -> StepResult {
        precondition(work.microbatches.count == shape.accumulation)
        try prepare()
        let objective = work.objective
        let share = work.microbatches.reduce(0) { $0 + objective.share(of: $1.labels) }
        // Counted over the whole step first, so that its parts may be spread in any way.
        let total = try gathered(share).reduce(0, +)
        let denominator = total > 0 ? total : 1
        try writeScalars(
            number: number, learningRate: learningRate, maxGradientNorm: maxGradientNorm,
            gradientScale: 1)
        var loss = 0.0
        var metrics = ObjectiveMetrics()
        for (index, microbatch) in work.microbatches.enumerated() {
            let (isFirst, isLast) = (index == 0, index == work.microbatches.count - 1)
            let logProbabilities = try logProbabilities(
                of: microbatch.batch, isFirstMicrostep: isFirst, isLastMicrostep: isLast)
            let value = try objective.evaluate(
                logProbabilities, of: microbatch.labels, denominator: denominator)
            loss += value.loss
            metrics.merge(value.metrics)
            try logProbabilityGradient.write(value.gradient, on: queue)
            try scheduler.run(
                gradientGraph, isFirstMicrostep: isFirst, isLastMicrostep: isLast, part: 1)
        }
        let values = try update()
        let labelCount = work.microbatches.reduce(0) { $0 + $1.batch.labelCount }
        loss = try gathered(loss).reduce(0, +)
        return StepResult(
            loss: Float(loss), gradientNorm: values[.gradientNorm],
            isFinite: values[.isFinite] == 1 && loss.isFinite,
            labelCount: try rank.world.sum(labelCount) / rank.mesh.tensor,
            metrics: try merged(metrics))
    }

    /// Log p of the label of every position, `[B·T]`, with the weights of the moment and the kernels of a step; 0 where
    /// there is no label. The ranks of a tensor group call it together; the step is recorded with `LossForm.twoPass`.
    public func logProbabilities(of batch: Batch) throws(ForjaError) -> [Float] {
        try logProbabilities(of: batch, isFirstMicrostep: true, isLastMicrostep: true)
    }

    private func logProbabilities(
        of batch: Batch, isFirstMicrostep: Bool, isLastMicrostep: Bool
    ) throws(ForjaError) -> [Float] {
        guard let logProbability else { preconditionFailure("recorded in one pass") }
        try prepare()
        try write(batch)
        try scheduler.run(
            gradientGraph, isFirstMicrostep: isFirstMicrostep, isLastMicrostep: isLastMicrostep,
            part: 0)
        return try logProbability.read(Float.self, on: queue)
    }

    /// Loss and figures of an objective over all that `next` gives until `nil`, of this rank and all others of the data
    /// axis; weights do not change. Every rank calls it; recorded with `LossForm.twoPass`.
    public func evaluate(
        _ objective: any Objective, _ next: () throws(ForjaError) -> Microbatch?
    ) throws(ForjaError) -> (loss: Double, metrics: ObjectiveMetrics) {
        var loss = 0.0
        var share = 0.0
        var metrics = ObjectiveMetrics()
        while let microbatch = try next() {
            let value = try objective.evaluate(
                try logProbabilities(of: microbatch.batch), of: microbatch.labels, denominator: 1)
            loss += value.loss
            share += objective.share(of: microbatch.labels)
            metrics.merge(value.metrics)
        }
        loss = try gathered(loss).reduce(0, +)
        share = try gathered(share).reduce(0, +)
        return (loss / max(share, .leastNonzeroMagnitude), try merged(metrics))
    }

    /// The values of all data-parallel ranks, in rank order. Over the world, which is this thread's: `rank.data` may still
    /// gather weights.
    private func gathered(_ value: Double) throws(ForjaError) -> [Double] {
        let values = try rank.world.gather(value)
        return rank.dataMembers.map { values[$0] }
    }

    /// The figures of all data-parallel ranks, in rank order.
    private func merged(_ own: ObjectiveMetrics) throws(ForjaError) -> ObjectiveMetrics {
        guard rank.data.rankCount > 1 else { return own }
        let encoder = JSONEncoder()
        let decoder = JSONDecoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let json = try? encoder.encode(own) else {
            preconditionFailure("numbers and names encode")
        }
        var all = ObjectiveMetrics()
        let texts = try rank.world.gather(String(decoding: json, as: UTF8.self))
        for text in rank.dataMembers.map({ texts[$0] }) {
            guard
                let part = try? decoder.decode(ObjectiveMetrics.self, from: Data(text.utf8))
            else { preconditionFailure("another rank's figures decode") }
            all.merge(part)
        }
        return all
    }
}
