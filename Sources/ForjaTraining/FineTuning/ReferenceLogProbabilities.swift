import ForjaCore
import ForjaData
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaRuntime
import Foundation

/// Σ log π_ref of answers, π_ref the weights a run starts from: made once, with the kernels of the steps, and kept in the
/// user's cache under everything that decides them. So no second model is in memory, and a resumed run starts at once.
///
/// They are made and kept in about a hundred parts: a run that is stopped meanwhile goes on from the last one.
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
            ["2"] + weights + build.map { "\($0.key)=\($0.value)" }
            + [
                engine.model.computeType.rawValue, "\(engine.rank.mesh.description)",
                "\(engine.shape.sequences)x\(engine.shape.sequenceLength)",
            ]
    }

    /// By example. Every rank calls it and gets the same.
    ///
    /// - Parameter name: Of the examples, for progress.
    func sums(of batches: PackedBatches, called name: String) throws(ForjaError) -> [Double] {
        let parts = Self.parts(of: batches)
        let examples = parts.map { batches.packed.examples(inRows: $0) }
        let path = cache.path(
            of: "reference", suffix: "jsonl", key: key + [Self.digest(of: batches.packed)])
        let file = engine.rank.isFirst ? ReferenceSumsFile(path) : nil
        // Not a number where nothing is known yet.
        var sums = [Double](repeating: .nan, count: batches.packed.examples.count)
        if let file { read(file, into: &sums, examples) }
        // Ranks may be on machines with caches of their own; the first one's counts.
        try Self.broadcast(&sums, from: 0, over: engine.rank.world)
        let missing = parts.indices.filter { examples[$0].contains { sums[$0].isNaN } }
        guard !missing.isEmpty else { return sums }
        let kept = sums.count { !$0.isNaN }
        let start = Date()
        var shown = start
        for part in missing {
            try compute(&sums, of: batches, rows: parts[part], called: name)
            try exchange(&sums, of: batches, rows: parts[part])
            try file?.append(examples[part].map { sums[$0] }, part: part)
            if Date().timeIntervalSince(shown) > 10 {
                shown = Date()
                observer.note(
                    "reference log-probabilities of \(name): \(100 * (part + 1) / parts.count) %")
            }
        }
        observer.note(
            "reference log-probabilities of \(name): \(sums.count - kept) answers in "
                + String(format: "%.1f s", Date().timeIntervalSince(start))
                + (kept > 0 ? "; \(kept) were there" : ""))
        return sums
    }

    /// Rows of each part: whole turns of all ranks, about a hundredth of them.
    private static func parts(of batches: PackedBatches) -> [Range<Int>] {
        let rows = batches.packed.rows.count
        let turn = batches.shape.sequences * batches.rank.mesh.data
        let size = max(rows / turn / 100, 1) * turn
        return stride(from: 0, to: rows, by: size).map { $0..<min($0 + size, rows) }
    }

    private func read(
        _ file: ReferenceSumsFile, into sums: inout [Double], _ examples: [[Int]]
    ) {
        let (parts, damagedLineCount) = file.read(counts: examples.map(\.count))
        if damagedLineCount > 0 {
            observer.note(
                "\(file.path): damaged in \(damagedLineCount) "
                    + "\(damagedLineCount == 1 ? "line" : "lines"), whose log-probabilities are "
                    + "made again")
        }
        for (part, values) in parts {
            for (example, value) in zip(examples[part], values) { sums[example] = value }
        }
    }

    /// Fills in the sums of this rank's turns over a part's rows.
    private func compute(
        _ sums: inout [Double], of batches: PackedBatches, rows: Range<Int>, called name: String
    ) throws(ForjaError) {
        let packed = batches.packed
        let rank = engine.rank
        for turn in batches.turns(over: rows, of: rank.mesh.dataIndex(of: rank.rank)) {
            let values = try engine.logProbabilities(of: packed.batch(of: turn))
            for placement in packed.placements(of: turn) {
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
        }
    }

    /// Gives every rank the sums of the others' turns over a part's rows.
    private func exchange(
        _ sums: inout [Double], of batches: PackedBatches, rows: Range<Int>
    ) throws(ForjaError) {
        for root in 0..<engine.rank.data.rankCount {
            let turns = batches.turns(over: rows, of: root)
            let examples = turns.flatMap { batches.packed.placements(of: $0).map(\.example) }
            var values = examples.map { sums[$0] }
            try Self.broadcast(&values, from: root, over: engine.rank.data)
            for (example, value) in zip(examples, values) { sums[example] = value }
        }
    }

    /// Of all tokens and labels, and of who shares a row with whom: covers data, template, tokenizer, T, packing and which
    /// rows were left out.
    private static func digest(of packed: PackedExamples) -> String {
        var stream = SHA256Stream()
        for example in packed.examples {
            stream.update("\(example.count)\n")
            example.tokens.withUnsafeBytes { stream.update($0) }
            example.labels.withUnsafeBytes { stream.update($0) }
        }
        for row in packed.rows { stream.update("\(row.map(\.example))\n") }
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
