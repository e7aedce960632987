import ForjaCore
import ForjaData
import ForjaObjectives
import ForjaParallel

/// Pre-training: every next token of windows of text.
final class PretrainStage: TrainingStage {
    let shape: StepShape
    private let recipe: Recipe
    private let data: PretrainData
    private let rank: MeshRank
    private let loader: WindowLoader
    private var context: StageContext?

    init(recipe: Recipe, data: PretrainData, rank: MeshRank) throws(ForjaError) {
        self.recipe = recipe
        self.data = data
        self.rank = rank
        loader = try data.trainLoader(for: recipe)
        var shape = recipe.stepShape
        shape.documentMask = data.masksDocuments(recipe)
        self.shape = shape
    }

    func prepare(_ context: StageContext) { self.context = context }

    func work(forStep number: Int) throws(ForjaError) -> StepWork {
        var microbatches: [Microbatch] = []
        for places in shape.places(of: rank) {
            microbatches.append(
                Microbatch(
                    try loader.batch(step: number - 1, sequences: recipe.batchSize, rows: places)))
        }
        return StepWork(microbatches: microbatches, objective: LikelihoodObjective())
    }

    func places(of work: StepWork) -> String {
        let ranges = work.microbatches.flatMap(\.batch.sourceRanges)
        let first = ranges.prefix(3).map { "\($0.lowerBound) ..< \($0.upperBound)" }
        return "tokens \(first.joined(separator: ", "))"
            + (ranges.count > 3 ? " and \(ranges.count - 3) more ranges" : "")
    }

    func validate() throws(ForjaError) -> [String: Double] {
        guard let context, let windows = try data.validationWindows(for: recipe) else { return [:] }
        // Ranks take turns over the windows.
        var first = rank.mesh.dataIndex(of: rank.rank) * shape.sequences
        let loss = try context.engine.validate { () throws(ForjaError) -> Batch? in
            guard first < windows.count else { return nil }
            defer { first += shape.sequences * rank.mesh.data }
            return try windows.batch(first..<(first + shape.sequences))
        }
        return ["validation_loss": loss]
    }
}
