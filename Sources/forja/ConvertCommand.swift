import ArgumentParser
import ForjaCore
import ForjaModels

struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Writes a model as one Hugging Face directory.",
        discussion: """
            The source is a Hugging Face directory, its weights in one file or in shards, a checkpoint, or a run directory,
            whose newest checkpoint is taken. The result has config.json, one model.safetensors and the tokenizer's files,
            and nothing of the optimizer: what transformers and others read, and what --model takes. A checkpoint that any
            mesh wrote gives the same files.

              forja convert runs/first exported
              forja convert runs/first/checkpoints/step-500 exported-bf16 --dtype bf16
            """)

    @Argument(help: "Model directory, checkpoint or run directory.")
    var source: String

    @Argument(help: "Directory to make; it must not be there.")
    var destination: String

    @Option(help: "Type of the weights: f32, bf16 or f16; the source's when absent.")
    var dtype: StoredType?

    func run() throws {
        let directory = try ModelDirectory(source)
        let bytes = try directory.export(to: destination, dtype: dtype?.dtype)
        Console.result("\(destination): \(bytes) bytes of weights from \(directory.path)")
    }
}

/// `--dtype` of stored weights.
enum StoredType: String, ExpressibleByArgument, CaseIterable {
    case f32, bf16, f16

    var dtype: DType {
        switch self {
        case .f32: .float32
        case .bf16: .bfloat16
        case .f16: .float16
        }
    }
}
