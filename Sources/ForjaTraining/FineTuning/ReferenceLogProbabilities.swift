import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime
import Foundation

/// Σ log π_ref of answers, π_ref the weights a run starts from: made once, with the kernels of the steps, and kept in the
/// user's cache under everything that decides them. So no second model is in memory, and a resumed run starts at once.
struct ReferenceLogProbabilities {
    private let engine: TrainingEngine
    private let observer: any TrainingObserver
    private let cache: TokenShardCache
    /// What the numbers depend on beside the examples: weights, and what computes.
    private let key: [String]

    /// - Parameter context: Its model has the starting weights.
    init(_ context: StageContext) throws(ForjaError) {
        engine = context.engine
        observer = context.observer
        cache = try TokenShardCache()
        let weights = try engine.rank.tensor.gather(
            engine.model.digest(on: engine.queue).description)
        // Bits differ between devices, so that each has its own: a run never depends on where another one ran.
        let build = RunManifest.build(engine.queue.device).sorted { $0.key < $1.key }
        key =
            ["1"] + weights + build.map { "\($0.key)=\($0.value)" }
            + [
                engine.model.computeType.rawValue, "\(engine.rank.mesh.description)",
                "\(engine.shape.sequences)x\(engine.shape.sequenceLength)",
            ]
    }

    /// By example. Every rank calls it and gets the same.
    ///
    /// - Parameter name: Of the examples, for progress.
    func sums(of batches: PackedBatches, called name: String) throws(ForjaError) -> [Double] {
        let examples = batches.packed.examples
        let path = cache.path(
            of: "reference", suffix: "json", key: key + [Self.digest(of: examples)])
        let world = engine.rank.world
        let cached = engine.rank.isFirst ? read(path, for: examples) : nil
        // Ranks may be on machines with caches of their own; the first one's counts.
        let isCached = try world.gather(cached != nil)[0]
        var sums = cached ?? [Double](repeating: 0, count: examples.count)
        if isCached {
            try Self.broadcast(&sums, from: 0, over: world)
            return sums
        }
        try compute(&sums, of: batches, called: name)
        for root in 0..<engine.rank.data.rankCount {
            // Each rank has the sums of its turns.
            var part = sums
            try Self.broadcast(&part, from: root, over: engine.rank.data)
            for rows in batches.turns(of: root) {
                for row in rows where row < sums.count { sums[row] = part[row] }
            }
        }
        if engine.rank.isFirst {
            try AtomicFile.write(
                Self.json(Stored(sums: sums, labels: examples.map(\.labelCount))), to: path)
        }
        return sums
    }

    /// Fills in the sums of this rank's turns.
    private func compute(
        _ sums: inout [Double], of batches: PackedBatches, called name: String
    ) throws(ForjaError) {
        let packed = batches.packed
        let turns = batches.turns()
        let start = Date()
        var shown = Date()
        for (turn, rows) in turns.enumerated() {
            let values = try engine.logProbabilities(of: packed.batch(of: rows))
            for placement in packed.placements(of: rows) {
                let labels = packed.examples[placement.example].labels
                var sum = 0.0
                for (position, label) in zip(placement.positions, labels) where label >= 0 {
                    sum += Double(values[position])
                }
                guard sum.isFinite else {
                    throw ForjaError(
                        .notFinite,
                        "the starting weights give answer \(placement.example) of \(name) the "
                            + "log-probability \(sum)",
                        fix: "start from weights that are finite")
                }
                sums[placement.example] = sum
            }
            if Date().timeIntervalSince(shown) > 10 {
                shown = Date()
                observer.note(
                    "reference log-probabilities of \(name): \(100 * (turn + 1) / turns.count) %")
            }
        }
        observer.note(
            "reference log-probabilities of \(name): \(sums.count) answers in "
                + String(format: "%.1f s", Date().timeIntervalSince(start)))
    }

    // MARK: On disk

    private struct Stored: Codable {
        let sums: [Double]
        /// Labels of each answer: tells a file of other examples.
        let labels: [Int]
    }

    private static func json(_ stored: Stored) -> String {
        guard let json = try? JSONEncoder().encode(stored) else {
            preconditionFailure("finite numbers encode")
        }
        return String(decoding: json, as: UTF8.self) + "\n"
    }

    /// `nil` where there is none, or none that fits.
    private func read(_ path: String, for examples: [Example]) -> [Double]? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        guard let stored = try? JSONDecoder().decode(Stored.self, from: data),
            stored.sums.count == examples.count, stored.labels == examples.map(\.labelCount)
        else {
            observer.note("\(path) is damaged: computing reference log-probabilities again")
            return nil
        }
        return stored.sums
    }

    /// Of all tokens and labels: covers data, template, tokenizer, T and which rows were left out.
    private static func digest(of examples: [Example]) -> String {
        var stream = SHA256Stream()
        for example in examples {
            stream.update("\(example.count)\n")
            example.tokens.withUnsafeBytes { stream.update($0) }
            example.labels.withUnsafeBytes { stream.update($0) }
        }
        return stream.digest.description
    }

    private static func broadcast(
        _ values: inout [Double], from root: Int, over group: Collectives
    ) throws(ForjaError) {
        try values.withUnsafeMutableBufferPointer { values throws(ForjaError) in
            try group.broadcast(UnsafeMutableRawBufferPointer(values), from: root)
        }
    }
}
