import ForjaCore
import ForjaModels
import ForjaRuntime
import ForjaTraining

extension Recipe {
    /// Most bytes that a rank of stage grpo holds beside the step: caches of the answers it samples, for training or
    /// validation; a pipelined sampler's model and caches where it shares the trainer's memory; the starting weights where
    /// the KL term needs them. 0 in other stages.
    public func rolloutByteCount(
        model: LlamaModel, queue: Queue
    ) throws(ForjaError) -> Int {
        guard stage == .grpo else { return 0 }
        let settings = try GroupRelativeSettings(self)
        let prompts = (settings.promptsPerBatch + dataParallel - 1) / dataParallel
        let answers = prompts * settings.answersPerPrompt
        let hasValidation = validationFiles != nil || validationFraction > 0
        let heldOut =
            !hasValidation ? 0 : settings.validationRows > 0 ? settings.validationRows : Int.max
        func caches(_ answers: Int) throws(ForjaError) -> Int {
            guard answers > 0 else { return 0 }
            return try BatchEngine(
                model: model, width: min(settings.answersAtOnce, answers),
                capacity: model.positions, queue: queue
            ).byteCount
        }
        let weights = model.parameters.reduce(0) { $0 + $1.compute.byteCount }
        var byteCount = try caches(max(settings.isPipelined ? 0 : answers, heldOut))
        if settings.isPipelined, queue.device.description.sharesHostMemory {
            byteCount += try weights + caches(answers)
        }
        if settings.objective.klWeight > 0 { byteCount += weights }
        return byteCount
    }
}
