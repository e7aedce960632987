import ForjaCore
import ForjaModels
import ForjaRuntime
import ForjaTraining

extension Recipe {
    /// Bytes that a rank of stage grpo holds on the trainer's device beside the step: caches of the answers it samples
    /// there, and the starting weights where the KL term needs them. 0 in other stages.
    public func rolloutByteCount(
        model: LlamaModel, queue: Queue
    ) throws(ForjaError) -> Int {
        guard stage == .grpo else { return 0 }
        let settings = try GroupRelativeSettings(self)
        var byteCount = 0
        if !settings.isPipelined {
            let prompts = (settings.promptsPerBatch + dataParallel - 1) / dataParallel
            byteCount = try BatchEngine(
                model: model,
                width: min(settings.answersAtOnce, prompts * settings.answersPerPrompt),
                capacity: model.positions, queue: queue
            ).byteCount
        }
        if settings.objective.klWeight > 0 {
            byteCount += model.parameters.reduce(0) { $0 + $1.compute.byteCount }
        }
        return byteCount
    }
}
