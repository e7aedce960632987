import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime

/// What all ranks must have in common before the first step: a rank that trains on something else would add wrong
/// gradients, and nothing would fail.
enum RankAgreement {
    /// - Throws: `.rankFailed` on every rank, naming what differs and between which ranks.
    static func check(
        _ rank: MeshRank, recipe: Recipe, data: any StageData, engine: TrainingEngine
    ) throws(ForjaError) {
        guard rank.mesh.rankCount > 1 else { return }
        try compare(
            "program", "\(Device.engineVersion) \(Device.kernelsHash)", over: rank.world,
            fix: "start every rank from the same build")
        try compare(
            "recipe", recipe.sharedYAML, over: rank.world,
            fix: "give every rank the same recipe and --set")
        try compare(
            "data", data.hashes.sorted { $0.key < $1.key }.map { "\($0): \($1)" }.joined(),
            over: rank.world, fix: "give every rank the same files")
        try checkWeights(engine)
    }

    /// Refuses ranks of a data group whose weights differ: at the start, and before a checkpoint is made of them.
    static func checkWeights(_ engine: TrainingEngine) throws(ForjaError) {
        guard engine.rank.data.rankCount > 1 else { return }
        try compare(
            "weights", try engine.model.digest(on: engine.queue).description,
            over: engine.rank.data,
            fix: "resume from the last checkpoint; if it comes back, a device computes wrongly")
    }

    private static func compare(
        _ name: String, _ text: String, over group: Collectives, fix: String
    ) throws(ForjaError) {
        let digests = try group.gather(SHA256Digest(of: text).description)
        guard let other = digests.firstIndex(where: { $0 != digests[0] }) else { return }
        throw ForjaError(
            .rankFailed,
            "the ranks' \(name) differ: SHA-256 \(digests[0].prefix(12))… on rank 0 and "
                + "\(digests[other].prefix(12))… on rank \(other) of \(group.rankCount)",
            fix: fix)
    }
}

extension LlamaModel {
    /// SHA-256 over every parameter's float32 master, in order.
    func digest(on queue: Queue) throws(ForjaError) -> SHA256Digest {
        var stream = SHA256Stream()
        for parameter in parameters {
            try parameter.master.forEachChunk(
                from: 0, count: parameter.shape.elementCount, on: queue
            ) { bytes in stream.update(bytes) }
        }
        return stream.digest
    }
}
