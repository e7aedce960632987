import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime
import Foundation

/// A checkpoint: a Hugging Face directory plus what training needs to go on bit for bit.
///
///     config.json  generation_config.json  model.safetensors      weights, float32
///     tokenizer.json  tokenizer_config.json
///     optimizer.safetensors, optimizer-*-of-*.safetensors         first and second moments: OptimizerShards
///     forja.json                                                  step, data position, checksums
///
/// Random numbers and the data's order are functions of (seed, step), so the step is their whole state.
struct TrainingCheckpoint {
    static let stateName = "forja.json"

    struct State: Codable {
        var formatVersion = 1
        /// Updates done.
        var step: Int
        /// Where the data stands: sequences read so far.
        var sequencesRead: Int
        /// State of every counter-based generator: the seed; counters follow from the step.
        var seed: UInt64
        var mesh: [String: Int]
        /// What computed it; bits are promised for the same.
        var build: [String: String]
        /// Which kernels computed it, where a choice was made; absent in older checkpoints.
        var kernels: KernelChoices?
        /// What the stage knows beyond (recipe, step), in its own words.
        var stage: String?
        /// SHA-256 by file and tensor.
        var checksums: [String: [String: String]]
    }

    let path: String
    let state: State

    /// Reads a checkpoint's state.
    ///
    /// - Throws: `.damagedFile` naming the directory when it is not whole.
    init(path: String) throws(ForjaError) {
        self.path = path
        let file = (path as NSString).appendingPathComponent(Self.stateName)
        do {
            state = try JSONDecoder().decode(
                State.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
        } catch {
            throw ForjaError(
                .damagedFile, "\(file) cannot be read as a checkpoint's state",
                fix: "resume from another checkpoint", cause: "\(error)")
        }
        guard state.formatVersion == 1 else {
            throw ForjaError(
                .damagedFile,
                "\(file) has format \(state.formatVersion); this build reads format 1",
                fix: "use the version of forja that wrote it")
        }
    }

    // MARK: Saving

    /// Refuses a run whose checkpoints are known not to fit, before hours are spent on its steps.
    ///
    /// - Parameters:
    ///   - recipe: Says how many checkpoints are still to come and how many of them stay.
    ///   - step: Steps done.
    ///   - tokenizerByteCount: Bytes of the tokenizer.json.
    /// - Throws: `.inputOutput` naming bytes needed and free.
    static func requireRoom(
        for model: LlamaModel, tokenizerByteCount: Int, recipe: Recipe, after step: Int,
        in run: RunDirectory
    ) throws(ForjaError) {
        let present = run.checkpointSteps.count
        // One is written before the oldest is removed.
        let atOnce = min(present + recipe.checkpointCount(after: step), recipe.keptCheckpoints + 1)
        let count = max(1, atOnce - present)
        let needed = count * byteCount(of: model, tokenizerByteCount)
        let free = try freeBytes(at: run.file("checkpoints"))
        guard free >= needed else {
            throw ForjaError(
                .inputOutput,
                "\(run.path) has no room for checkpoints: \(needed) bytes needed for \(count), "
                    + "\(free) bytes free",
                fix: "free space there, name another --run-dir, or lower checkpoint.keep_last")
        }
    }

    /// An upper bound for one checkpoint: weights and two moments, float32, the tokenizer as it is written anew, and room
    /// for headers and state.
    private static func byteCount(of model: LlamaModel, _ tokenizerByteCount: Int) -> Int {
        3 * model.checkpointByteCount + 2 * tokenizerByteCount + 1_048_576
    }

    /// Writes a checkpoint; it appears under its name when everything is in it and on disk. Every rank calls it: each
    /// writes its share of the optimizer's state, the first one everything else.
    ///
    /// - Parameters:
    ///   - data: Its tokenizer goes with the weights.
    ///   - stage: What the stage keeps.
    ///   - source: What the run started from: its begin- and end-of-text ids stay those of the model.
    /// - Throws: `.inputOutput` naming bytes needed and free; `.rankFailed` when the ranks' weights are not the same. The
    ///   checkpoints before it stay whole.
    static func save(
        _ engine: TrainingEngine, recipe: Recipe, data: any StageData, source: HuggingFaceConfig?,
        step: Int, stage: String?, to path: String
    ) throws(ForjaError) {
        let rank = engine.rank
        try engine.gatherMasters()
        try RankAgreement.checkWeights(engine)
        let directory =
            rank.isFirst
            ? try AtomicDirectory(
                at: path,
                expectedByteCount: byteCount(of: engine.model, data.tokenizer.byteCount)) : nil
        let temporaryPath = try rank.world.gather(directory?.temporaryPath ?? "")[0]
        var checksums: [String: [String: String]] = [:]
        if let directory {
            checksums[SafetensorsDirectory.fileName] = try saveModel(
                engine, data: data, source: source, to: directory)
        } else if rank.mesh.dataIndex(of: rank.rank) == 0 {
            // This rank's part of what the first one writes.
            try engine.model.save(to: temporaryPath, on: engine.queue)
        }
        if recipe.shardsOptimizerState || rank.mesh.dataIndex(of: rank.rank) == 0 {
            let name =
                recipe.shardsOptimizerState
                ? OptimizerShards.fileName(rank: rank.rank, rankCount: rank.mesh.rankCount)
                : OptimizerShards.fileName(
                    rank: rank.mesh.tensorIndex(of: rank.rank), rankCount: rank.mesh.tensor)
            checksums[name] = try OptimizerShards.write(
                engine.states, of: engine.model,
                to: (temporaryPath as NSString).appendingPathComponent(name), on: engine.queue
            ).mapValues(\.description)
        }
        for text in try rank.world.gather(json(checksums)) {
            let written = try? JSONDecoder().decode(
                [String: [String: String]].self, from: Data(text.utf8))
            checksums.merge(written ?? [:]) { own, _ in own }
        }
        if let directory {
            let state = State(
                step: step, sequencesRead: step * recipe.batchSize, seed: recipe.seed,
                mesh: mesh(of: rank, recipe), build: RunManifest.build(engine.queue.device),
                kernels: engine.queue.device.kernelChoices, stage: stage, checksums: checksums)
            try AtomicFile.write(json(state), to: directory.path(of: stateName))
            try directory.commit(isReplacing: true)
        }
        try rank.world.barrier()
    }

    /// Writes the Hugging Face directory.
    ///
    /// - Returns: SHA-256 by tensor of the weights.
    private static func saveModel(
        _ engine: TrainingEngine, data: any StageData, source: HuggingFaceConfig?,
        to directory: AtomicDirectory
    ) throws(ForjaError) -> [String: String] {
        let model = engine.model
        let tokenizer = data.tokenizer.tokenizer
        var ends =
            source?.endOfTextIDs
            ?? Tokenization.endOfTextNames.lazy.compactMap(tokenizer.id(of:)).prefix(1).map { $0 }
        // What ends an answer ends generation.
        ends += data.chat?.stopTokens.filter { !ends.contains($0) } ?? []
        try model.configuration.huggingFace(
            beginOfTextID: source?.beginOfTextID, endOfTextIDs: ends
        ).write(into: directory.temporaryPath)
        try tokenizer.write(to: directory.path(of: "tokenizer.json"))
        try AtomicFile.write(
            tokenizer.configuration(
                endOfText: (data.chat?.endOfText).flatMap { $0.isEmpty ? nil : $0 }
                    ?? ends.first.flatMap(tokenizer.token(of:)),
                maximumLength: model.configuration.contextLength,
                chatTemplate: data.chat?.template),
            to: directory.path(of: "tokenizer_config.json"))
        return try model.save(
            to: directory.path(of: SafetensorsDirectory.fileName), on: engine.queue
        ).mapValues(\.description)
    }

    /// The mesh as a checkpoint names it.
    static func mesh(of rank: MeshRank, _ recipe: Recipe) -> [String: Int] {
        ["data": rank.mesh.data, "tensor": rank.mesh.tensor]
    }

    private static func json(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let json = try? encoder.encode(value) else {
            preconditionFailure("numbers and texts encode")
        }
        return String(decoding: json, as: UTF8.self)
    }

    // MARK: Loading

    /// The newest checkpoint of a run whose every tensor matches its checksum: the first rank looks, and every rank gets
    /// the one it found.
    static func newestWhole(
        in run: RunDirectory, for rank: MeshRank
    ) throws(ForjaError) -> TrainingCheckpoint? {
        let found = rank.isFirst ? try newestWhole(in: run) : nil
        let step = try rank.world.gather(found?.state.step ?? -1)[0]
        guard step >= 0 else { return nil }
        if let found { return found }
        return try TrainingCheckpoint(path: run.checkpoint(step: step))
    }

    /// The newest checkpoint of a run whose every tensor matches its checksum.
    ///
    /// - Throws: `.damagedFile` naming the newest one's fault and the last good one; damage is never skipped silently.
    static func newestWhole(
        in run: RunDirectory
    ) throws(ForjaError) -> TrainingCheckpoint? {
        guard let newest = run.checkpointSteps.last else { return nil }
        do throws(ForjaError) {
            let checkpoint = try TrainingCheckpoint(path: run.checkpoint(step: newest))
            try checkpoint.verify()
            return checkpoint
        } catch {
            var named = error
            let good = run.checkpointSteps.dropLast().last { step in
                (try? TrainingCheckpoint(path: run.checkpoint(step: step)).verify()) != nil
            }
            named.fix =
                good.map {
                    "remove \(run.checkpoint(step: newest)) to resume from step-\($0), which is whole"
                } ?? "no other checkpoint is whole: start a new run directory"
            throw named
        }
    }

    /// Files of the optimizer's state.
    private var optimizerNames: [String] {
        state.checksums.keys.filter { $0.hasPrefix(OptimizerShards.prefix) }.sorted()
    }

    /// Compares every tensor with its checksum; a tensor without one is damage too.
    func verify() throws(ForjaError) {
        let missing =
            state.checksums[SafetensorsDirectory.fileName] == nil
            ? SafetensorsDirectory.fileName
            : optimizerNames.isEmpty ? OptimizerShards.fileName(rank: 0, rankCount: 1) : nil
        if let missing {
            throw ForjaError(
                .damagedFile,
                "\((path as NSString).appendingPathComponent(Self.stateName)) has no checksums of "
                    + missing)
        }
        for (name, tensors) in state.checksums.sorted(by: { $0.key < $1.key }) {
            let file = try SafetensorsFile(
                contentsOf: (path as NSString).appendingPathComponent(name))
            for tensor in file.tensors where tensors[tensor.name] == nil {
                throw ForjaError(
                    .damagedFile, "\(file.path): tensor \(tensor.name) has no checksum")
            }
            for (tensor, checksum) in tensors.sorted(by: { $0.key < $1.key }) {
                let seen = try file.digest(of: tensor).description
                guard seen == checksum else {
                    throw ForjaError(
                        .damagedFile,
                        "\(file.path): tensor \(tensor) does not match its checksum "
                            + "(\(seen.prefix(12))…, expected \(checksum.prefix(12))…)")
                }
            }
        }
    }

    /// Makes the device that wrote the checkpoint choose kernels as it did then, whatever was tuned since.
    ///
    /// - Returns: One line where that is not possible.
    func restoreKernels(on device: Device) throws(ForjaError) -> String? {
        let build = RunManifest.build(device)
        guard let kernels = state.kernels,
            ["device", "platform"].allSatisfy({ state.build[$0] == build[$0] })
        else { return nil }
        do throws(ForjaError) {
            try device.restore(kernels)
        } catch {
            guard error.code == .invalidInput else { throw error }
            return "the kernels of that checkpoint are not all here: \(error.message)"
        }
        let forced = device.kernelChoices.forced
        return forced == kernels.forced
            ? nil
            : "the environment forces other kernels than for that checkpoint: results may differ in "
                + "the last bits from an uninterrupted run"
    }

    /// Sets weights and moments.
    func restore(_ engine: TrainingEngine, recipe: Recipe) throws(ForjaError) {
        guard state.seed == recipe.seed else {
            throw ForjaError(
                .invalidInput, "\(path) was trained with seed \(state.seed), not \(recipe.seed)",
                fix: "set training.seed to \(state.seed)")
        }
        try engine.model.load(from: SafetensorsDirectory(path), on: engine.queue)
        try OptimizerShards(directory: path, fileNames: optimizerNames)
            .restore(engine.states, of: engine.model, on: engine.queue)
    }
}
