import ForjaCore
import ForjaData
import ForjaObjectives
import ForjaParallel
import ForjaRuntime
import ForjaTraining
import Foundation

/// Group relative policy optimisation: batches of answers are sampled, graded and trained on.
///
///     synchronous   sample t · update on t · sample t + 1 · update on t + 1
///     pipelined     sample t + 1, with the weights from before, beside the updates on t
///
/// Data-parallel ranks share out a batch's prompts; then every rank gets all answers and trains on its rows, those it would
/// have in any stage.
final class GroupRelativeStage: TrainingStage {
    let shape: StepShape
    private let recipe: Recipe
    private let data: GroupRelativeData
    private let settings: GroupRelativeSettings
    private let rank: MeshRank
    private let objective: GroupRelativeObjective

    private var context: StageContext?
    /// On the trainer's device, with its weights.
    private var sampler: RolloutSampler?
    /// Where the pipelined sampler works; `nil` when sampling is synchronous.
    private var samplerDevice: Device?
    /// Made for the first batch, when a checkpoint's kernels have been restored.
    private var pipeline: PipelinedSampler?
    private var reference: ReferencePolicy?
    private var log: RolloutLog?

    /// What steps train on now.
    private var current: GradedBatch?
    /// Sampled beforehand and not begun to be trained on.
    private var next: RolloutBatch?
    /// What the pipeline is sampling.
    private var begun: (number: Int, weightsStep: Int)?
    private var step = 0

    init(recipe: Recipe, data: GroupRelativeData, rank: MeshRank) {
        self.recipe = recipe
        self.data = data
        self.rank = rank
        settings = data.settings
        objective = GroupRelativeObjective(settings.objective)
        var shape = recipe.stepShape
        shape.lossForm = .twoPass
        shape.logitScale = 1 / settings.temperature
        self.shape = shape
    }

    deinit {
        // After an error: the sampler's thread works on a device that is about to go.
        if begun != nil { _ = try? pipeline?.finish() }
    }

    func prepare(_ context: StageContext) throws(ForjaError) {
        self.context = context
        step = context.firstStep
        if settings.isPipelined {
            precondition(!data.samplerDevices.isEmpty, "a pipelined sampler needs a device")
            let devices = data.samplerDevices
            samplerDevice = devices[devices.count == 1 ? 0 : rank.rank]
        }
        let samplesHere = settings.isPipelined ? 0 : ownAnswerCount
        if samplesHere > 0 || !heldOut.isEmpty {
            sampler = try RolloutSampler(
                model: context.model, queue: context.queue, data: data,
                mostAnswers: max(samplesHere, heldOut.count))
            try sampler?.prepare()
        }
        if settings.objective.klWeight > 0 { reference = try ReferencePolicy(context) }
        if rank.isFirst {
            log = try RolloutLog(context.run, data: data, continuingAfter: context.firstStep)
        }
    }

    // MARK: Steps

    func work(forStep number: Int) throws(ForjaError) -> StepWork {
        guard let context else { preconditionFailure("not prepared") }
        step = number
        let update = (number - 1) % settings.updatesPerBatch
        var metrics: [String: Double] = [:]
        if update == 0 {
            // Samplers read all weights, and `rank.data` is this thread's again.
            try context.engine.finishCollectives()
            let batch = try nextBatch((number - 1) / settings.updatesPerBatch, context)
            let graded = try GradedBatch(batch, settings: settings)
            current = graded
            metrics = graded.metrics
            metrics["weights_lag"] = Double(number - 1 - batch.weightsStep)
            metrics["epoch"] =
                Double((batch.number + 1) * settings.promptsPerBatch) / Double(data.train.count)
            try log?.append(batch, step: number, advantages: graded.advantages)
            for set in batch.sets {
                if let problem = set.problem { context.observer.note("left out: \(problem)") }
            }
        }
        guard let current else {
            throw ForjaError(
                .damagedFile, "the checkpoint lacks the answers that step \(number) trains on",
                fix: "resume from another checkpoint")
        }
        let rows = RolloutRows(
            current.batch, advantages: current.advantages, data: data,
            length: shape.sequenceLength)
        var microbatches: [Microbatch] = []
        for places in places(ofUpdate: update) {
            var microbatch = rows.microbatch(places)
            microbatch.labels.referenceLogProbabilities =
                try reference?.logProbabilities(of: microbatch.batch)
            microbatches.append(microbatch)
        }
        return StepWork(microbatches: microbatches, objective: objective, metrics: metrics)
    }

    /// Places in the batch of the rows that this rank trains on in one of its updates.
    private func places(ofUpdate update: Int) -> [Range<Int>] {
        let first = update * recipe.batchSize
        return shape.places(of: rank).map { $0.lowerBound + first..<$0.upperBound + first }
    }

    func places(of work: StepWork) -> String {
        guard let current else { return "" }
        let rows = places(ofUpdate: (step - 1) % settings.updatesPerBatch).flatMap { $0 }
        let sets = Set(rows.map { $0 / settings.answersPerPrompt }).sorted()
        return "answers to \(data.train[current.batch.sets[sets[0]].task].place)"
            + (sets.count > 1 ? " and \(sets.count - 1) more prompts" : "")
    }

    // MARK: Sampling

    /// Places in a batch of the prompts that this rank answers: data-parallel ranks share them out.
    private var ownPrompts: Range<Int> {
        let (count, ranks) = (settings.promptsPerBatch, rank.mesh.data)
        let index = rank.mesh.dataIndex(of: rank.rank)
        return count * index / ranks..<count * (index + 1) / ranks
    }

    private var ownAnswerCount: Int { ownPrompts.count * settings.answersPerPrompt }

    private func plan(_ number: Int) -> RolloutPlan {
        RolloutPlan(
            batch: number, prompts: ownPrompts,
            limit: settings.lengths.limit(atStep: number * settings.updatesPerBatch + 1),
            seed: recipe.seed)
    }

    private func nextBatch(
        _ number: Int, _ context: StageContext
    ) throws(ForjaError) -> RolloutBatch {
        var batch = try sampledBatch(number, context)
        if settings.updatesPerBatch > 1 {
            batch.oldLogProbabilities = try logProbabilities(of: batch, context)
        }
        return batch
    }

    private func sampledBatch(
        _ number: Int, _ context: StageContext
    ) throws(ForjaError) -> RolloutBatch {
        let weightsStep = step - 1
        guard let samplerDevice else {
            // Of fewer prompts than ranks some have none, and no sampler.
            let sets = ownPrompts.isEmpty ? [] : try sampler!.sets(of: plan(number))
            return try gathered(sets, number: number, weightsStep: weightsStep)
        }
        let pipeline = try pipelinedSampler(on: samplerDevice, context)
        try takeBegun()
        if next?.number != number {
            try begin(number, on: pipeline, context)
            try takeBegun()
        }
        defer { next = nil }
        if !data.samplesAfterUpdate, step + settings.updatesPerBatch <= recipe.maxSteps {
            try begin(number + 1, on: pipeline, context)
        }
        return next!
    }

    private func pipelinedSampler(
        on device: Device, _ context: StageContext
    ) throws(ForjaError) -> PipelinedSampler {
        if let pipeline { return pipeline }
        let made = try PipelinedSampler(
            policy: context.model, device: device, data: data, mostAnswers: ownAnswerCount)
        pipeline = made
        return made
    }

    /// Has the pipeline sample a batch with the weights of the moment.
    private func begin(
        _ number: Int, on pipeline: PipelinedSampler, _ context: StageContext
    ) throws(ForjaError) {
        try pipeline.begin(plan(number), weightsOf: context.model, on: context.queue)
        begun = (number, step - 1)
    }

    /// Waits for what the pipeline has begun.
    private func takeBegun() throws(ForjaError) {
        guard let pipeline, let begun else { return }
        self.begun = nil
        next = try gathered(
            try pipeline.finish(), number: begun.number, weightsStep: begun.weightsStep)
    }

    /// The batch of which every data-parallel rank has sampled a part.
    private func gathered(
        _ sets: [RolloutSet], number: Int, weightsStep: Int
    ) throws(ForjaError) -> RolloutBatch {
        RolloutBatch(
            number: number, weightsStep: weightsStep, limit: plan(number).limit,
            sets: try rank.data.gatherCoded(sets).flatMap { $0 })
    }

    /// Of every answer, under the weights of the moment.
    private func logProbabilities(
        of batch: RolloutBatch, _ context: StageContext
    ) throws(ForjaError) -> [[Float]] {
        let rows = RolloutRows(
            batch, advantages: batch.answers.map { _ in 0 }, data: data,
            length: shape.sequenceLength)
        var own = [[Float]](repeating: [], count: batch.answers.count)
        for update in 0..<settings.updatesPerBatch {
            for places in places(ofUpdate: update) {
                let values = try context.engine.logProbabilities(
                    of: rows.microbatch(places).batch)
                own.replaceSubrange(places, with: rows.values(values, of: places))
            }
        }
        var all = own
        for part in try rank.data.gatherCoded(own) {
            for (answer, values) in part.enumerated() where !values.isEmpty {
                all[answer] = values
            }
        }
        return all
    }

    // MARK: Validation

    /// Held-out tasks that this rank answers.
    private var heldOut: [RewardTask] {
        let count = settings.validationRows
        let tasks = count > 0 ? data.validation.prefix(count) : data.validation[...]
        let (ranks, index) = (rank.mesh.data, rank.mesh.dataIndex(of: rank.rank))
        return tasks.enumerated().filter { $0.offset % ranks == index }.map(\.element)
    }

    func validate() throws(ForjaError) -> [String: Double] {
        guard let context, !data.validation.isEmpty else { return [:] }
        try context.engine.finishCollectives()
        let answers =
            try sampler?.greedyAnswers(to: heldOut, limit: settings.lengths.limit(atStep: step))
            ?? []
        let count = Double(try rank.data.sum(answers.count))
        let right = Double(try rank.data.sum(answers.count { $0.isRight }))
        let scores = try rank.data.gather(answers.reduce(0) { $0 + $1.score })
        let tokens = Double(try rank.data.sum(answers.reduce(0) { $0 + $1.ids.count }))
        let passAtOne = right / count
        context.observer.note(
            "step \(step): pass@1 " + String(format: "%.4f", passAtOne)
                + " on \(Int(count)) held-out prompts")
        return [
            "pass_at_1": passAtOne,
            "validation_reward": scores.reduce(0, +) * settings.rewardScale / count,
            "validation_answer_length": tokens / count,
        ]
    }

    // MARK: State

    /// Answers that weights have sampled which will be gone: those of a batch that is not trained on to its end, and those
    /// of the batch after it.
    private struct State: Codable {
        var current: RolloutBatch?
        var next: RolloutBatch?
        /// Of the device that a pipelined sampler works on: other kernels round otherwise.
        var samplerKernels: KernelChoices?
    }

    var state: String? {
        get throws(ForjaError) {
            try context?.engine.finishCollectives()
            try takeBegun()
            let isWithin = step % settings.updatesPerBatch != 0
            let state = State(
                current: isWithin ? current?.batch : nil, next: next,
                samplerKernels: samplerDevice?.kernelChoices)
            return state.current == nil && state.next == nil && state.samplerKernels == nil
                ? nil : encoded(state)
        }
    }

    func restore(_ text: String) throws(ForjaError) {
        guard let state = try? JSONDecoder().decode(State.self, from: Data(text.utf8)) else {
            throw ForjaError(
                .damagedFile, "the checkpoint's answers cannot be read",
                fix: "resume from another checkpoint")
        }
        if let batch = state.current { current = try GradedBatch(batch, settings: settings) }
        next = state.next
        guard let samplerDevice, let kernels = state.samplerKernels else { return }
        do throws(ForjaError) {
            try samplerDevice.restore(kernels)
        } catch {
            guard error.code == .invalidInput else { throw error }
            context?.observer.note(
                "the kernels that the checkpoint's sampler had are not all here: \(error.message)")
        }
    }
}
