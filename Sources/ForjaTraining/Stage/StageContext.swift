import ForjaModels
import ForjaParallel
import ForjaRuntime

/// What a stage may use of the run it is part of.
public struct StageContext {
    public let recipe: Recipe
    /// Model, queue, rank; `logProbabilities(of:)` and `evaluate` compute with the weights of the moment.
    public let engine: TrainingEngine
    /// For files of the stage's own, which the first rank alone writes.
    public let run: RunDirectory
    public let start: StartingWeights
    /// Steps done when the run began or was resumed.
    public let firstStep: Int
    /// Says nothing but on the first rank.
    public let observer: any TrainingObserver

    package init(
        recipe: Recipe, engine: TrainingEngine, run: RunDirectory, start: StartingWeights,
        firstStep: Int, observer: any TrainingObserver
    ) {
        self.recipe = recipe
        self.engine = engine
        self.run = run
        self.start = start
        self.firstStep = firstStep
        self.observer = observer
    }

    public var model: LlamaModel { engine.model }
    public var queue: Queue { engine.queue }
    public var rank: MeshRank { engine.rank }
}
