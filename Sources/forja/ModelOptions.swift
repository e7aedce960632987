import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaParallel
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

    @Option(
        help: ArgumentHelp("Ranks that share out the model.", valueName: "count"))
    var tensorParallel = 1

    func validate() throws { try checkRange("--tensor-parallel", tensorParallel, 1...65_536) }

    /// Runs `body` on every rank that shares the model, each with its own part and device.
    ///
    /// - Parameter positions: Longest sequence needed.
    /// - Returns: What the first rank returned.
    func run<Result: Sendable>(
        _ directory: ModelDirectory, positions: Int, on compute: ComputeOptions,
        _ body: @escaping @Sendable (LlamaModel, Queue, MeshRank) throws(ForjaError) -> Result
    ) throws(ForjaError) -> Result {
        try LlamaSharding.check(directory.configuration, degree: tensorParallel)
        let devices = try compute.open(rankCount: tensorParallel, on: nil)
        let options = self
        return try RankLauncher.run(Mesh(data: 1, tensor: tensorParallel), timeoutSeconds: 600) {
            rank throws(ForjaError) in
            let queue = try Queue(device: devices[rank.rank])
            let model = try options.load(directory, positions: positions, on: queue, rank: rank)
            return try body(model, queue, rank)
        }[0]
    }

    /// Reads a rank's part of the model for inference.
    private func load(
        _ directory: ModelDirectory, positions: Int, on queue: Queue, rank: MeshRank
    ) throws(ForjaError) -> LlamaModel {
        let model = LlamaModel(
            directory.configuration, computeType: dtype.dtype, positions: positions,
            isTrained: false,
            sharding: try LlamaSharding(directory.configuration, over: rank.tensor))
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
