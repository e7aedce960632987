import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaRuntime

/// `--model` and `--dtype` of commands that read a model.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A directory in Hugging Face layout, or a run directory (its newest checkpoint).",
            valueName: "directory"))
    var model: String

    @Option(help: "Type to compute in, f32 or bf16, whatever the checkpoint's.")
    var dtype = ComputeType.f32

    /// Reads the model for inference.
    ///
    /// - Parameter positions: Longest sequence needed.
    func load(
        _ directory: ModelDirectory, positions: Int, on queue: Queue
    ) throws(ForjaError) -> LlamaModel {
        let model = LlamaModel(
            directory.configuration, computeType: dtype.dtype, positions: positions,
            isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        return model
    }
}

/// "1 2 3" or "1,2,3" as token ids.
func parseIDs(_ text: String) throws(ForjaError) -> [Int32] {
    var ids: [Int32] = []
    for part in text.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "\n" }) {
        guard let id = Int32(part), id >= 0 else {
            throw ForjaError(
                .invalidInput, "\"\(part)\" is not a token id", fix: "write ids as \"1 2 3\"")
        }
        ids.append(id)
    }
    return ids
}
