import ForjaCore
import ForjaFormats
import ForjaNN
import ForjaRuntime
import Foundation

/// A whole run of a very small model on a very small text: what a run makes a process load, whatever its size, is
/// loaded afterwards: code, threads and their stacks, kernels, a runtime's compiler.
public struct Rehearsal: Sendable {
    // What decides which kernels are built.
    public var computeType: DType
    public var headWidth: Int
    public var documentMask: Bool
    public var recompute: StepGraph.RecomputePolicy

    public init(
        computeType: DType, headWidth: Int, documentMask: Bool,
        recompute: StepGraph.RecomputePolicy
    ) {
        self.computeType = computeType
        self.headWidth = headWidth
        self.documentMask = documentMask
        self.recompute = recompute
    }

    /// Two sequences of 64 tokens give products of both kinds: many rows in a step, one in a sampled token.
    private var recipe: String {
        """
        name: rehearsal
        model:
          width: 64
          layers: 1
          heads: 2
          key_value_heads: 1
          head_width: \(headWidth)
          feed_forward_width: 128
        tokenizer:
          train: {kind: byte_bpe, vocabulary_size: 260}
        data:
          train: text.txt
          document_mask: \(documentMask)
        training:
          max_steps: 2
          batch_size_sequences: 2
          sequence_length_tokens: 64
          dtype: \(computeType.rawValue)
          recompute: \(recompute.rawValue)
        schedule: {learning_rate: 0.001}
        evaluation: {sample_prompt: "0 1", sample_tokens: 4}
        """
    }

    /// Trains, validates, samples and saves.
    ///
    /// - Parameters:
    ///   - directory: Empty; receives text and run.
    ///   - measure: Called while the run still holds everything, with the bytes of the engine's own buffers, about a
    ///     megabyte.
    public func run(
        on queue: Queue, in directory: String, measure: (_ engineBytes: Int) -> Void
    ) throws(ForjaError) {
        let file = { (directory as NSString).appendingPathComponent($0) }
        try AtomicFile.write(
            (0..<400).map { "\($0)" }.joined(separator: " "), to: file("text.txt"))
        let recipe = try Recipe(yaml: recipe, file: file("recipe.yaml"))
        let run = try RunDirectory(path: file("run"), isResuming: false)
        let data = try recipe.readData(run: run, observer: SilentObserver())
        let trainer = try Trainer(
            recipe: recipe, data: data, run: run, isResuming: false, queue: queue,
            peakFlopsPerSecond: nil, observer: SilentObserver())
        try trainer.train()
        measure(queue.device.allocatedBytes)
        withExtendedLifetime(trainer) {}
    }
}
