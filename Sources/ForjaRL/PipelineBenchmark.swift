import ForjaCore
import ForjaModels
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

/// How long a batch of stage grpo takes, one part after another and pipelined.
public enum PipelineBenchmark {
    /// Seconds a batch, by batch.
    public struct Times: Sendable {
        /// Until the batch's first update can begin.
        public var sampling: [Double] = []
        /// Its updates.
        public var training: [Double] = []

        public var whole: [Double] { zip(sampling, training).map(+) }
    }

    /// Where a batch is sampled, and when.
    public enum Order: Sendable {
        /// On the trainer's device, before its updates.
        case synchronous
        /// On a device of its own, while the trainer waits.
        case assigned(Device)
        /// On a device of its own, while the trainer updates on the batch before.
        case pipelined(Device)
    }

    /// Batches that are made before any is timed.
    public static let untimedBatches = 2

    /// Trains on a few batches in a directory of its own.
    ///
    /// - Parameters:
    ///   - recipe: With `grpo.pipelined` as `order` needs it, and more steps than the batches have; of one rank.
    public static func run(
        _ recipe: Recipe, order: Order, on device: Device, batches: Int,
        observer: any TrainingObserver
    ) throws(ForjaError) -> Times {
        let path = (NSTemporaryDirectory() as NSString)
            .appendingPathComponent("forja-bench-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try RunDirectory(path: path, isResuming: false)
        var data = try GroupRelativeData(recipe: recipe, run: nil, observer: observer)
        switch order {
        case .synchronous: break
        case .assigned(let sampler):
            data.samplerDevices = [sampler]
            data.samplesAfterUpdate = true
        case .pipelined(let sampler): data.samplerDevices = [sampler]
        }
        let queue = try Queue(device: device)
        let start = try StartingWeights(recipe)
        let configuration =
            if let source = start.source { source.configuration } else {
                try recipe.modelConfiguration(
                    vocabularySize: data.tokenizer.tokenizer.vocabularySize)
            }
        let stage = data.makeStage(recipe: recipe, rank: .single)
        let engine = try TrainingEngine(
            model: LlamaModel(
                configuration, computeType: recipe.computeType, positions: recipe.sequenceLength),
            shape: stage.shape, optimizer: recipe.optimizer, queue: queue)
        try engine.prepare()
        try start.write(to: engine.model, on: queue)
        try stage.prepare(
            StageContext(
                recipe: recipe, engine: engine, run: directory, start: start, firstStep: 0,
                observer: observer))

        var times = Times()
        var step = 0
        for batch in 0..<batches + untimedBatches {
            var (sampling, training) = (0.0, 0.0)
            for update in 0..<data.settings.updatesPerBatch {
                step += 1
                let begin = DispatchTime.now().uptimeNanoseconds
                let work = try stage.work(forStep: step)
                let middle = DispatchTime.now().uptimeNanoseconds
                _ = try engine.step(
                    number: step, work: work,
                    learningRate: Float(recipe.schedule.learningRate(at: step)),
                    maxGradientNorm: recipe.maxGradientNorm)
                let end = DispatchTime.now().uptimeNanoseconds
                let seconds = Double(middle - begin) * 1e-9
                if update == 0 { sampling += seconds } else { training += seconds }
                training += Double(end - middle) * 1e-9
            }
            guard batch >= untimedBatches else { continue }
            times.sampling.append(sampling)
            times.training.append(training)
        }
        // What the pipeline has begun for a batch that nobody waits for.
        _ = try stage.state
        return times
    }
}
