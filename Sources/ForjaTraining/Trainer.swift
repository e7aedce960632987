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
    private let data: any StageData
    private let stage: any TrainingStage
    private let run: RunDirectory
    private let engine: TrainingEngine
    private let observer: any TrainingObserver
    private let schedule: LearningRateSchedule
    private let peakFlopsPerSecond: Double?
    private var queue: Queue { engine.queue }
    private let start: StartingWeights
    /// Continues the recipe's prompt after each validation; made with the step, so that its memory is refused with it.
    private let sampler: Generator?
    private let samplePrompt: [Int32]

    /// Steps done so far.
    private var step = 0
    /// Figures of the last validation, by name.
    private var lastValidation: [String: Double] = [:]
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
        recipe: Recipe, data: any StageData, run: RunDirectory, isResuming: Bool, queue: Queue,
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
        stage = try data.makeStage(recipe: recipe, rank: rank)
        start = try StartingWeights(recipe)
        let tokenizer = data.tokenizer.tokenizer
        let configuration =
            if let source = start.source { source.configuration } else {
                try recipe.modelConfiguration(vocabularySize: tokenizer.vocabularySize)
            }
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw ForjaError(
                .invalidInput,
                "the tokenizer has \(tokenizer.vocabularySize) tokens and the model "
                    + "\(configuration.vocabularySize)",
                fix: "use the model's own tokenizer: remove tokenizer from the recipe")
        }
        let model = LlamaModel(
            configuration, computeType: recipe.computeType, positions: recipe.sequenceLength,
            sharding: try LlamaSharding(configuration, over: rank.tensor))
        let checkpoint = isResuming ? try TrainingCheckpoint.newestWhole(in: run, for: rank) : nil
        // Before the step is planned: workspaces follow from the kernels.
        if let note = try checkpoint?.restoreKernels(on: queue.device) { observer.note(note) }
        engine = try TrainingEngine(
            model: model, shape: stage.shape, optimizer: recipe.optimizer, queue: queue, rank: rank,
            shardsState: recipe.shardsOptimizerState)
        try engine.prepare()
        samplePrompt = recipe.samplePrompt.map { tokenizer.encode($0) } ?? []
        sampler =
            samplePrompt.isEmpty || rank.mesh.dataIndex(of: rank.rank) != 0
            ? nil
            : try Generator(
                model: model, sequences: 1, capacity: samplePrompt.count + recipe.sampleTokens,
                queue: queue)
        try sampler?.prepare()
        if isResuming, checkpoint == nil {
            observer.note("no checkpoint yet: starting from the beginning")
        }
        if checkpoint == nil || stage.readsStartingWeights {
            try start.write(to: model, on: queue)
        }
        step = checkpoint?.state.step ?? 0
        secondsBefore = step > 0 ? RunManifest.secondsSpent(in: run) : 0
        try stage.prepare(
            StageContext(
                recipe: recipe, engine: engine, run: run, start: start, firstStep: step,
                observer: observer))
        if let checkpoint { try restore(checkpoint) }
        if rank.isFirst {
            try TrainingCheckpoint.requireRoom(
                for: model, tokenizerByteCount: data.tokenizer.byteCount, recipe: recipe,
                after: step, in: run)
        }
        try RankAgreement.check(rank, recipe: recipe, data: data, engine: engine)
    }

    private func restore(_ checkpoint: TrainingCheckpoint) throws(ForjaError) {
        try checkpoint.restore(engine, recipe: recipe)
        if let state = checkpoint.state.stage { try stage.restore(state) }
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
    }

    /// Has every dispatch and collective recorded from now on.
    public func record(in trace: Trace.Recorder) { engine.record(in: trace) }

    public var parameterCount: Int { engine.model.configuration.parameterCount }
    public var plannedByteCount: Int { engine.plannedByteCount }

    /// Trains to the last step.
    ///
    /// - Returns: Figures of the last validation by name, `validation_loss` among them; empty when nothing is held out.
    /// - Throws: `.interrupted` after saving when a signal arrived; `.notFinite` when loss or gradient was NaN or infinite,
    ///   with weights as before that step.
    @discardableResult
    public func train() throws(ForjaError) -> [String: Double] {
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
            let (result, figures) = try runStep(number: number, learningRate: learningRate)
            rate.add(seconds: Date().timeIntervalSince(start))
            step = number
            let tokensPerSecond =
                Double(engine.shape.tokensPerStep * rank.mesh.data) / max(rate.secondsPerStep, 1e-9)

            var line = MetricsLine(step: number)
            line.add("loss", result.loss)
            line.add("learning_rate", learningRate)
            line.add("gradient_norm", result.gradientNorm)
            line.add("tokens_per_s", tokensPerSecond.rounded())
            for (name, value) in figures { line.add(name, value) }
            try metrics?.append(line)
            try tensorBoard?.write(
                step: number,
                scalars: [
                    ("loss", Float(result.loss)), ("learning_rate", Float(learningRate)),
                    ("gradient_norm", result.gradientNorm),
                ] + figures.map { ($0.key, Float($0.value)) })

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
        return lastValidation
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

    /// - Returns: Beside the engine's results the figures of objective and stage, by name.
    private func runStep(
        number: Int, learningRate: Double
    ) throws(ForjaError) -> (StepResult, figures: [(key: String, value: Double)]) {
        let work = try stage.work(forStep: number)
        let result = try engine.step(
            number: number, work: work, learningRate: Float(learningRate),
            maxGradientNorm: recipe.maxGradientNorm)
        guard result.isFinite else {
            let places = stage.places(of: work)
            let newest = run.checkpointSteps.last
            throw ForjaError(
                .notFinite,
                "step \(number) gave loss \(result.loss) and gradient norm "
                    + "\(result.gradientNorm)\(places.isEmpty ? "" : " on \(places)"); the step "
                    + "was not applied",
                fix: "lower schedule.learning_rate or look at that data"
                    + (newest.map { "; step-\($0) is whole" } ?? ""))
        }
        let figures = result.metrics.values.merging(work.metrics) { objective, _ in objective }
        return (result, figures.sorted { $0.key < $1.key })
    }

    private func validate(
        metrics: MetricsLog?, tensorBoard: TensorBoardWriter?
    ) throws(ForjaError) {
        let figures = try stage.validate()
        guard !figures.isEmpty else { return }
        lastValidation = figures
        var line = MetricsLine(step: step)
        let sorted = figures.sorted { $0.key < $1.key }
        for (name, value) in sorted { line.add(name, value) }
        try metrics?.append(line)
        try tensorBoard?.write(
            step: step,
            scalars: sorted.map {
                // Apart from the same figures of steps.
                ($0.key.hasPrefix("validation") ? $0.key : "validation_\($0.key)", Float($0.value))
            })
    }

    private func sample() throws(ForjaError) {
        guard let sampler else { return }
        try engine.finishCollectives()
        let continuation = try sampler.generate(
            prompts: [samplePrompt], maxNewTokens: recipe.sampleTokens,
            sampling: SamplingSettings(temperature: 0.8, topK: 50, seed: recipe.seed))
        // Every rank of a tensor group took part.
        guard rank.isFirst else { return }
        let text = data.tokenizer.tokenizer.decode(
            samplePrompt + continuation[0], skipSpecialTokens: true)
        try AtomicFile.write(text + "\n", to: run.file("samples/step-\(step).txt"))
        observer.sample(text, step: step)
    }

    private func save() throws(ForjaError) {
        try TrainingCheckpoint.save(
            engine, recipe: recipe, data: data, source: start.source?.huggingFace, step: step,
            stage: try stage.state, to: run.checkpoint(step: step))
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
            validationLoss: lastValidation["validation_loss"], learningRate: learningRate,
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
