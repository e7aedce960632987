import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaRuntime

/// The weights a run starts from: those of `model.from`, or fresh ones of the recipe's seed.
public struct StartingWeights: Sendable {
    /// `nil` for fresh weights.
    public let source: ModelDirectory?
    private let seed: UInt64

    package init(_ recipe: Recipe) throws(ForjaError) {
        source = if let path = recipe.modelSource { try ModelDirectory(path) } else { nil }
        seed = recipe.seed
    }

    /// Writes them into a model of the same configuration, allocated.
    public func write(to model: LlamaModel, on queue: Queue) throws(ForjaError) {
        if let source {
            try model.load(from: source.safetensors(), on: queue)
        } else {
            try model.initialize(seed: seed, on: queue)
        }
    }
}
