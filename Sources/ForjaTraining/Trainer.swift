import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime
import Foundation

/// Runs a recipe: data, model, steps, validation, checkpoints. Resumable at every checkpoint.
///
/// Everything a step depends on is a function of (recipe, step), so a run stopped and resumed gives the same bits as one
/// that was not. On a mesh every rank has a trainer of its own; the first one alone prints and writes what a run has once.
public final class Trainer {
    private let recipe: Recipe
    private let rank: MeshRank
    private let data: TrainingData
    private let run: RunDirectory
    private let engine: TrainingEngine
    private let observer: any TrainingObserver
    private let schedule: LearningRateSchedule
    private let loader: WindowLoader
    private let peakFlopsPerSecond: Double?
    private var queue: Queue { engine.queue }
    /// The model that the run started from; `nil` for fresh weights.
    private let source: ModelDirectory?
    /// Continues the recipe's prompt after each validation; made with the step, so that its memory is refused with it.
    private let sampler: Generator?
    private let samplePrompt: [Int32]

    /// Steps done so far.
    private var step = 0
    private var lastValidationLoss: Double?
    private let began = Date()
    /// What the run had taken when it was stopped.
    private let secondsBefore: Double

    /// Prepares a run: records and plans the step, refuses what cannot fit, allocates, sets the weights at their start or
    /// at the newest whole checkpoint, and refuses a disk without room for those to come.
    ///
    /// - Parameters:
    ///   - isResuming: Continues from the newest checkpoint in `run`, if there is one.
    ///   - rank: This trainer's place in the recipe's mesh.
    ///   - peakFlopsPerSecond: Measured peak of all ranks' devices together, for MFU.
    ///   - observer: Told by the first rank only.
    /// - Throws: Besides, `.rankFailed` when the ranks do not start from the same.
    public init(
        recipe: Recipe, data: TrainingData, run: RunDirectory, isResuming: Bool, queue: Queue,
        rank: MeshRank = .single, peakFlopsPerSecond: Double?, observer: any TrainingObserver
    ) throws(ForjaError) {
        precondition(rank.mesh == recipe.mesh, "the rank belongs to another mesh")
        let observer = rank.isFirst ? observer : SilentObserver()
        self.recipe = recipe
        self.rank = rank
        self.data = data
        self.run = run
        self.observer = observer
        self.peakFlopsPerSecond = peakFlopsPerSecond
        schedule = recipe.schedule
        if let adjustments = schedule.adjustments { observer.note(adjustments) }
        loader = try data.trainLoader(for: recipe)
        source = if let path = recipe.modelSource { try ModelDirectory(path) } else { nil }
        let configuration =
            if let source { source.configuration } else {
                try recipe.modelConfiguration(vocabularySize: data.tokenizer.vocabularySize)
            }
        guard data.tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw ForjaError(
                .invalidInput,
                "the tokenizer has \(data.tokenizer.vocabularySize) tokens and the model "
                    + "\(configuration.vocabularySize)",
                fix: "use the model's own tokenizer: remove tokenizer from the recipe")
        }
        let model = LlamaModel(
            configuration, computeType: recipe.computeType, positions: recipe.sequenceLength,
            sharding: try LlamaSharding(configuration, over: rank.tensor))
        var shape = recipe.stepShape
        shape.documentMask = data.masksDocuments(recipe)
        let checkpoint = isResuming ? try TrainingCheckpoint.newestWhole(in: run, for: rank) : nil
        // Before the step is planned: workspaces follow from the kernels.
        if let note = try checkpoint?.restoreKernels(on: queue.device) { observer.note(note) }
        engine = try TrainingEngine(
            model: model, shape: shape, optimizer: recipe.optimizer, queue: queue, rank: rank,
            shardsState: recipe.shardsOptimizerState)
        try engine.prepare()
        samplePrompt = recipe.samplePrompt.map { data.tokenizer.encode($0) } ?? []
        sampler =
            samplePrompt.isEmpty || rank.mesh.dataIndex(of: rank.rank) != 0
            ? nil
            : try Generator(
                model: model, sequences: 1, capacity: samplePrompt.count + recipe.sampleTokens,
                queue: queue)
        try sampler?.prepare()
        if let checkpoint {
            step = try checkpoint.restore(engine, recipe: recipe)
            observer.note("resumed from step \(step)")
            let build = RunManifest.build(queue.device)
            var changed = build.keys.sorted().filter { checkpoint.state.build[$0] != build[$0] }
            if checkpoint.state.mesh != TrainingCheckpoint.mesh(of: rank, recipe) {
                changed.append("mesh")
            }
            if !changed.isEmpty {
                observer.note(
                    "\(changed.joined(separator: ", ")) changed since that checkpoint: results "
                        + "may differ in the last bits from an uninterrupted run")
            }
        } else {
            if isResuming { observer.note("no checkpoint yet: starting from the beginning") }
            if let source {
                try model.load(from: source.safetensors(), on: queue)
            } else {
                try model.initialize(seed: recipe.seed, on: queue)
            }
        }
        if rank.isFirst {
            try TrainingCheckpoint.requireRoom(
                for: model, tokenizerByteCount: data.tokenizerByteCount, recipe: recipe,
                after: step, in: run)
        }
        try RankAgreement.check(rank, recipe: recipe, data: data, engine: engine)
        secondsBefore = step > 0 ? RunManifest.secondsSpent(in: run) : 0
    }

    /// Has every dispatch and collective recorded from now on.
    public func record(in trace: Trace.Recorder) { engine.record(in: trace) }

    public var parameterCount: Int { engine.model.configuration.parameterCount }
    public var plannedByteCount: Int { engine.plannedByteCount }

    /// Trains to the last step.
    ///
    /// - Returns: Validation loss after the last step, nats per token; `nil` when no text is held out.
    /// - Throws: `.interrupted` after saving when a signal arrived; `.notFinite` when loss or gradient was NaN or infinite,
    ///   with weights as before that step.
    @discardableResult
    public func train() throws(ForjaError) -> Double? {
        let metrics =
            rank.isFirst ? try MetricsLog(directory: run.path, continuingAfter: step) : nil
        let tensorBoard =
            rank.isFirst && recipe.writesTensorBoard
            ? try TensorBoardWriter(directory: run.path, resumingAfterStep: step) : nil
        if rank.isFirst {
            try AtomicFile.write(recipe.resolvedYAML, to: run.file("recipe.yaml"))
            try writeManifest()
        }
        if recipe.maxSteps == 0 { try save() }
        var rate = RecentRate()
        while step < recipe.maxSteps {
            let number = step + 1
            rank.progress.begin(step: number)
            try InjectedFault.trigger(rank: rank.rank, step: number, engine: engine)
            let learningRate = schedule.learningRate(at: number)
            let start = Date()
            let result = try runStep(number: number, learningRate: learningRate)
            rate.add(seconds: Date().timeIntervalSince(start))
            step = number
            let tokensPerSecond =
                Double(engine.shape.tokensPerStep * rank.mesh.data) / max(rate.secondsPerStep, 1e-9)

            var line = MetricsLine(step: number)
            line.add("loss", result.loss)
            line.add("learning_rate", learningRate)
            line.add("gradient_norm", result.gradientNorm)
            line.add("tokens_per_s", tokensPerSecond.rounded())
            try metrics?.append(line)
            try tensorBoard?.write(
                step: number,
                scalars: [
                    ("loss", Float(result.loss)), ("learning_rate", Float(learningRate)),
                    ("gradient_norm", result.gradientNorm),
                ])

            let isLast = number == recipe.maxSteps
            let isEvaluated = isLast || isDue(number, every: recipe.evaluationEverySteps)
            if isEvaluated { try validate(metrics: metrics, tensorBoard: tensorBoard) }
            observer.progress(
                progress(result, learningRate: learningRate, tokensPerSecond, rate))
            let signal = try agreedInterruption()
            if isLast || isDue(number, every: recipe.checkpointEverySteps) || signal != nil {
                try metrics?.synchronize()
                try save()
            }
            if isEvaluated { try sample() }
            if let signal, !isLast {
                throw ForjaError(
                    .interrupted, "\(signal): step \(number) is saved in \(run.path)",
                    fix: "continue with the same command and --run-dir \(run.path) --resume")
            }
        }
        try metrics?.synchronize()
        return lastValidationLoss
    }

    /// The signal that any rank received: all stop after the same step.
    private func agreedInterruption() throws(ForjaError) -> String? {
        let received = Interruption.received
        guard rank.mesh.rankCount > 1 else { return received }
        return try rank.world.gather(received ?? "").first { !$0.isEmpty }
    }

    private func isDue(_ step: Int, every interval: Int) -> Bool {
        interval > 0 && step % interval == 0
    }

    private func runStep(number: Int, learningRate: Double) throws(ForjaError) -> StepResult {
        let shape = engine.shape
        var microbatches: [Batch] = []
        for index in 0..<shape.accumulation {
            // A microstep's rows lie together, and in them those of each data-parallel rank: all ranks together train on
            // the rows of one device.
            let first =
                (index * rank.mesh.data + rank.mesh.dataIndex(of: rank.rank)) * shape.sequences
            microbatches.append(
                try loader.batch(
                    step: number - 1, sequences: recipe.batchSize,
                    rows: first..<(first + shape.sequences)))
        }
        let result = try engine.step(
            number: number, microbatches: microbatches, learningRate: Float(learningRate),
            maxGradientNorm: recipe.maxGradientNorm)
        guard result.isFinite else {
            let ranges = microbatches.flatMap(\.sourceRanges)
            let places = ranges.prefix(3).map { "\($0.lowerBound) ..< \($0.upperBound)" }
            let newest = run.checkpointSteps.last
            throw ForjaError(
                .notFinite,
                "step \(number) gave loss \(result.loss) and gradient norm "
                    + "\(result.gradientNorm) on tokens \(places.joined(separator: ", "))"
                    + (ranges.count > 3 ? " and \(ranges.count - 3) more ranges" : "")
                    + "; the step was not applied",
                fix: "lower schedule.learning_rate or look at that data"
                    + (newest.map { "; step-\($0) is whole" } ?? ""))
        }
        return result
    }

    private func validate(
        metrics: MetricsLog?, tensorBoard: TensorBoardWriter?
    ) throws(ForjaError) {
        guard
            let windows = try data.validationWindows(for: recipe)
        else { return }
        // Ranks take turns over the windows.
        var first = rank.mesh.dataIndex(of: rank.rank) * engine.shape.sequences
        let loss = try engine.validate { () throws(ForjaError) -> Batch? in
            guard first < windows.count else { return nil }
            defer { first += engine.shape.sequences * rank.mesh.data }
            return try windows.batch(first..<(first + engine.shape.sequences))
        }
        lastValidationLoss = loss
        var line = MetricsLine(step: step)
        line.add("validation_loss", loss)
        try metrics?.append(line)
        try tensorBoard?.write(step: step, scalars: [("validation_loss", Float(loss))])
    }

    private func sample() throws(ForjaError) {
        guard let sampler else { return }
        try engine.finishCollectives()
        let continuation = try sampler.generate(
            prompts: [samplePrompt], maxNewTokens: recipe.sampleTokens,
            sampling: SamplingSettings(temperature: 0.8, topK: 50, seed: recipe.seed))
        // Every rank of a tensor group took part.
        guard rank.isFirst else { return }
        let text = data.tokenizer.decode(samplePrompt + continuation[0], skipSpecialTokens: true)
        try AtomicFile.write(text + "\n", to: run.file("samples/step-\(step).txt"))
        observer.sample(text, step: step)
    }

    private func save() throws(ForjaError) {
        try TrainingCheckpoint.save(
            engine, recipe: recipe, data: data, source: source?.huggingFace, step: step,
            to: run.checkpoint(step: step))
        guard rank.isFirst else { return }
        run.removeOldCheckpoints(keeping: recipe.keptCheckpoints)
        try writeManifest()
    }

    private func writeManifest() throws(ForjaError) {
        try RunManifest.write(
            to: run, recipe: recipe, data: data, engine: engine,
            secondsSpent: secondsBefore + Date().timeIntervalSince(began), step: step)
    }

    private func progress(
        _ result: StepResult, learningRate: Double, _ tokensPerSecond: Double, _ rate: RecentRate
    ) -> TrainingProgress {
        let flops = engine.model.configuration.trainingFlopsPerToken(
            sequenceLength: recipe.sequenceLength)
        return TrainingProgress(
            step: step, maxSteps: recipe.maxSteps, loss: result.loss,
            validationLoss: lastValidationLoss, learningRate: learningRate,
            gradientNorm: result.gradientNorm, tokensPerSecond: tokensPerSecond,
            modelFlopsUtilization: peakFlopsPerSecond.map { flops * tokensPerSecond / $0 },
            secondsLeft: rate.secondsPerStep * Double(recipe.maxSteps - step))
    }
}

/// Mean time of the last steps.
private struct RecentRate {
    private var seconds: [Double] = []

    mutating func add(seconds value: Double) {
        seconds.append(value)
        if seconds.count > 20 { seconds.removeFirst() }
    }

    var secondsPerStep: Double {
        seconds.isEmpty ? 0 : seconds.reduce(0, +) / Double(seconds.count)
    }
}
