import ForjaCore
import ForjaData
import ForjaParallel

/// Supervised fine-tuning: the answers of chats.
final class SupervisedStage: TrainingStage {
    let shape: StepShape
    private let recipe: Recipe
    private let examples: ChatExamples
    private let train: PackedBatches
    private let validation: PackedBatches?
    private var context: StageContext?
    private var step = 0

    init(recipe: Recipe, data: SupervisedData, rank: MeshRank) {
        let shape = recipe.stepShape
        self.recipe = recipe
        self.shape = shape
        examples = data.data.train
        train = PackedBatches(packed: data.train, shape: shape, rank: rank)
        validation = data.validation.map { PackedBatches(packed: $0, shape: shape, rank: rank) }
    }

    func prepare(_ context: StageContext) { self.context = context }

    func work(forStep number: Int) -> StepWork {
        step = number
        return StepWork(
            microbatches: train.rows(ofStep: number, sequences: recipe.batchSize)
                .map { Microbatch(train.packed.batch(of: $0)) },
            objective: recipe.likelihood,
            metrics: ["epoch": train.epochs(afterStep: number, sequences: recipe.batchSize)])
    }

    func places(of work: StepWork) -> String {
        train.places(ofStep: step, sequences: recipe.batchSize, in: examples)
    }

    func validate() throws(ForjaError) -> [String: Double] {
        guard let context, let validation else { return [:] }
        var turns = validation.turns(maxTokens: recipe.evaluationMaxTokens)[...]
        let loss = try context.engine.validate {
            turns.popFirst().map { validation.packed.batch(of: $0) }
        }
        return ["validation_loss": loss]
    }
}
