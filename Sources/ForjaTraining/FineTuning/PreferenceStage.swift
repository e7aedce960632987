import ForjaCore
import ForjaData
import ForjaObjectives
import ForjaParallel

/// Preference optimisation: chosen answers are to become more likely than rejected ones, measured from the weights the
/// run starts from.
final class PreferenceStage: TrainingStage {
    let shape: StepShape
    private let recipe: Recipe
    private let objective: PreferenceObjective
    private let examples: ChatExamples
    private let train: PackedBatches
    private let validation: PackedBatches?
    private var context: StageContext?
    /// Σ log π_ref by example; `nil` where the loss needs none.
    private var trainReference: [Double]?
    private var validationReference: [Double]?
    private var step = 0

    init(recipe: Recipe, data: PreferenceData, rank: MeshRank) {
        let shape = recipe.stepShape
        self.recipe = recipe
        self.shape = shape
        objective = recipe.preference
        examples = data.data.train
        train = PackedBatches(packed: data.train, shape: shape, rank: rank)
        validation = data.validation.map { PackedBatches(packed: $0, shape: shape, rank: rank) }
    }

    var readsStartingWeights: Bool { objective.loss.needsReference }

    func prepare(_ context: StageContext) throws(ForjaError) {
        self.context = context
        guard objective.loss.needsReference else { return }
        let reference = try ReferenceLogProbabilities(context)
        trainReference = try reference.sums(of: train, called: "data.train")
        if let validation {
            validationReference = try reference.sums(of: validation, called: "held-out pairs")
        }
    }

    func work(forStep number: Int) -> StepWork {
        step = number
        return StepWork(
            microbatches: train.rows(ofStep: number, sequences: recipe.batchSize)
                .map { Self.microbatch(of: $0, in: train.packed, reference: trainReference) },
            objective: objective,
            metrics: ["epoch": train.epochs(afterStep: number, sequences: recipe.batchSize)])
    }

    func places(of work: StepWork) -> String {
        train.places(ofStep: step, sequences: recipe.batchSize, in: examples)
    }

    func validate() throws(ForjaError) -> [String: Double] {
        guard let context, let validation else { return [:] }
        var turns = validation.turns(maxTokens: recipe.evaluationMaxTokens)[...]
        let (loss, metrics) = try context.engine.evaluate(objective) {
            turns.popFirst().map {
                Self.microbatch(of: $0, in: validation.packed, reference: validationReference)
            }
        }
        return metrics.values.merging(["validation_loss": loss]) { _, loss in loss }
    }

    /// Rows of pairs, as the objective takes them: each answer a sequence of its own, the chosen one first.
    private static func microbatch(
        of rows: [Int], in packed: PackedExamples, reference: [Double]?
    ) -> Microbatch {
        let placements = packed.placements(of: rows)
        var microbatch = Microbatch(
            packed.batch(of: rows), sequences: placements.map(\.positions))
        microbatch.labels.referenceSums = reference.map { sums in
            placements.map { sums[$0.example] }
        }
        return microbatch
    }
}
