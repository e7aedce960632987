import ForjaFormats
import ForjaTestSupport
import Foundation
import Testing

/// Directories as transformers 4 writes them (Tests/Fixtures/llama), through the commands that read models: one and
/// several files, tied and own head, grouped queries, heads wider than width / heads.
@Suite("Directories of transformers 4")
struct Transformers4Tests {
    struct Layout: CustomTestStringConvertible {
        let model: String
        let isSharded: Bool
        let device: String

        var testDescription: String {
            "\(model), \(isSharded ? "shards" : "one file"), \(device)"
        }

        static let all: [Layout] = TestedDevice.selectors.flatMap { device in
            ["tied", "untied-wide-heads"].flatMap { model in
                [true, false].map { Layout(model: model, isSharded: $0, device: device) }
            }
        }

        private var folder: String { fixture("llama/\(model)") }

        /// Copies the directory to the workspace's "model".
        func place(in workspace: Workspace) throws {
            let files = FileManager.default
            try files.copyItem(atPath: folder + "/transformers4", toPath: workspace.file("model"))
            guard !isSharded else { return }
            for name in try workspace.entries("model") where name.contains("safetensors") {
                try files.removeItem(atPath: workspace.file("model/\(name)"))
            }
            // What transformers 4 saves in one file has these bytes; the fixture's script makes sure.
            try files.copyItem(
                atPath: folder + "/model.safetensors",
                toPath: workspace.file("model/model.safetensors"))
        }

        /// What PyTorch and transformers 4 made of the directory.
        func golden() throws -> Golden {
            try JSONDecoder().decode(
                Golden.self,
                from: Data(
                    contentsOf: URL(fileURLWithPath: folder + "/transformers4/golden.json")))
        }

        /// Rows of ids `[B, T]` with PyTorch's logits `[B, T, V]` for them.
        func logits() throws -> [(ids: [Int32], logits: [[Float]])] {
            let file = try SafetensorsFile(contentsOf: folder + "/golden.safetensors")
            let shape = try file.tensor(named: "logits").shape
            let ids = try file.withUnsafeBytes(of: "ids") { Array($0.bindMemory(to: Int32.self)) }
            let all = try file.withUnsafeBytes(of: "logits") {
                Array($0.bindMemory(to: Float.self))
            }
            let (length, vocabulary) = (shape[1], shape[2])
            return (0..<shape[0]).map { row in
                let places = row * length..<(row + 1) * length
                return (
                    Array(ids[places]),
                    places.map { Array(all[$0 * vocabulary..<($0 + 1) * vocabulary]) }
                )
            }
        }
    }

    struct Golden: Decodable {
        let prompt: String
        let promptIDs: [Int]
        let generatedIDs: [Int]
        let text: String
        let stepLosses: [Double]
        let stepGradientNorms: [Double]

        enum CodingKeys: String, CodingKey {
            case prompt, text
            case promptIDs = "prompt_ids"
            case generatedIDs = "generated_ids"
            case stepLosses = "step_losses"
            case stepGradientNorms = "step_gradient_norms"
        }
    }

    /// log p(id) in float64.
    private func logProbability(of id: Int32, _ logits: [Float]) -> Double {
        let largest = Double(logits.max()!)
        let sum = logits.reduce(0) { $0 + exp(Double($1) - largest) }
        return Double(logits[Int(id)]) - largest - log(sum)
    }

    @Test("score gives PyTorch's log-probabilities", arguments: Layout.all)
    func scores(layout: Layout) throws {
        let workspace = try Workspace()
        try layout.place(in: workspace)
        for (ids, logits) in try layout.logits() {
            let score = try workspace.run(
                "score", "--model", "model", "--ids",
                ids.map(String.init).joined(separator: " "), "--device", layout.device, "--json"
            ).json()
            let values = try #require(score["logprobs"] as? [Any]).dropFirst()
                .compactMap { $0 as? Double }
            let expected = zip(ids.dropFirst(), logits).map(logProbability)
            try #require(values.count == expected.count)
            let difference = zip(values, expected).map { abs($0 - $1) }.max()!
            #expect(difference <= Double(ModelTolerance.logits))
        }
    }

    @Test("generate continues a prompt as transformers does", arguments: Layout.all)
    func generates(layout: Layout) throws {
        let workspace = try Workspace()
        try layout.place(in: workspace)
        let golden = try layout.golden()
        let document = try workspace.run(
            "generate", "--model", "model", "--prompt", golden.prompt, "--temperature", "0",
            "--max-tokens", "\(golden.generatedIDs.count)", "--device", layout.device, "--json"
        ).json()
        #expect(document["prompt_ids"] as? [Int] == golden.promptIDs)
        let samples = try #require(document["samples"] as? [[String: Any]])
        #expect(samples.map { $0["ids"] as? [Int] } == [golden.generatedIDs])
    }

    @Test("training that starts from it has PyTorch's losses", arguments: Layout.all)
    func trains(layout: Layout) throws {
        let workspace = try Workspace()
        try layout.place(in: workspace)
        let golden = try layout.golden()
        try workspace.write("text.txt", golden.text)
        // The text and its end are the T + 1 tokens of the only window.
        try workspace.write(
            "recipe.yaml",
            """
            model: {from: model}
            data: {train: text.txt, validation_fraction: 0}
            training:
              max_steps: \(golden.stepLosses.count)
              batch_size_sequences: 1
              sequence_length_tokens: \(golden.text.count)
            schedule: {kind: constant, learning_rate: 0.003}
            """)
        let outcome = try workspace.train("run", device: layout.device)
        #expect(outcome.status == 0, "\(outcome)")
        let metrics = workspace.stepMetrics("run")
        try #require(metrics.count == golden.stepLosses.count)
        for (line, (loss, norm)) in zip(
            metrics, zip(golden.stepLosses, golden.stepGradientNorms))
        {
            #expect(abs(line.loss! - loss) <= Double(ModelTolerance.stepLosses))
            #expect(abs(line.gradientNorm! - norm) <= ModelTolerance.gradient * norm)
        }
        let score = try workspace.run(
            "score", "--model", "run", "--text", golden.text, "--device", layout.device)
        #expect(score.status == 0, "\(score)")
    }
}
