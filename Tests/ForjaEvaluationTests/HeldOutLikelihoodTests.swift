import ForjaCore
import ForjaData
import ForjaEvaluation
import ForjaFormats
import ForjaModels
import ForjaTestSupport
import Foundation
import Testing

/// Loss and preferences of answers against what PyTorch's logits for the same weights say (Tests/Fixtures/llama).
@Suite("Likelihood of held-out answers")
struct HeldOutLikelihoodTests {
    static let directory = fixture("llama/tied")

    /// Rows of ids, and PyTorch's logits at each of their positions.
    private static func golden() throws -> (ids: [[Int32]], logits: [[Float]]) {
        let file = try SafetensorsFile(contentsOf: directory + "/golden.safetensors")
        let shape = try file.tensor(named: "ids").shape
        let ids = try file.withUnsafeBytes(of: "ids") { Array($0.bindMemory(to: Int32.self)) }
        let logits = try file.withUnsafeBytes(of: "logits") {
            Array($0.bindMemory(to: Float.self))
        }
        let width = logits.count / ids.count
        return (
            (0..<shape[0]).map { Array(ids[$0 * shape[1]..<($0 + 1) * shape[1]]) },
            ids.indices.map { Array(logits[$0 * width..<($0 + 1) * width]) }
        )
    }

    /// Σ log p of the ids of a row from `start` on, each given those before it, in float64.
    private static func logProbability(
        of ids: [Int32], from start: Int, logits: ArraySlice<[Float]>
    ) -> Double {
        (start..<ids.count).reduce(0) { sum, position in
            let row = logits[logits.startIndex + position - 1].map(Double.init)
            let most = row.max()!
            let total = row.reduce(0) { $0 + exp($1 - most) }
            return sum + row[Int(ids[position])] - most - log(total)
        }
    }

    @Test("loss and preferences are those of PyTorch's logits", arguments: TestedDevice.all)
    func agreesWithPyTorch(device: TestedDevice) throws {
        let (rows, logits) = try Self.golden()
        try #require(rows.count >= 2)
        // Answers of unequal length: ids from a place on.
        let starts = [3, 6]
        let examples = zip(rows, starts).map { ids, start in
            Example(ChatTokens(ids: ids, isLabel: ids.indices.map { $0 >= start }))
        }
        let length = rows[0].count
        let expected = (0..<2).map { row in
            Self.logProbability(
                of: rows[row], from: starts[row], logits: logits[row * length..<(row + 1) * length])
        }
        let labels = starts.map { length - $0 }

        let queue = try device.queue()
        let directory = try ModelDirectory(Self.directory)
        let model = LlamaModel(
            directory.configuration, computeType: .float32, positions: length, isTrained: false)
        try model.load(from: directory.safetensors(), on: queue)
        let likelihood = HeldOutLikelihood(model: model, queue: queue)
        let loss = try likelihood.loss(of: examples)
        #expect(abs(loss + (expected[0] + expected[1]) / Double(labels[0] + labels[1])) < 1e-5)
        let isFirstBetter = expected[0] / Double(labels[0]) > expected[1] / Double(labels[1])
        let pair = isFirstBetter ? examples : examples.reversed()
        #expect(try likelihood.preferenceAccuracy(of: pair) == 1)
        #expect(try likelihood.preferenceAccuracy(of: pair + pair.reversed()) == 0.5)
    }
}
