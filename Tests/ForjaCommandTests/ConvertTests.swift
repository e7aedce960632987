import ForjaCore
import ForjaFormats
import Foundation
import Testing

/// `forja convert`: one Hugging Face directory from what any mesh wrote.
@Suite("Converting a model")
struct ConvertTests {
    @Test("a run of two ranks becomes one directory with the checkpoint's weights")
    func exports() throws {
        let workspace = try Workspace()
        let trained = try workspace.train("run", [], ["--data-parallel", "2"])
        #expect(trained.status == 0, "\(trained)")
        let outcome = try workspace.run("convert", "run", "exported")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            try workspace.entries("exported") == [
                "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                "tokenizer_config.json",
            ])
        for name in try workspace.entries("exported") {
            #expect(
                try workspace.data("exported/\(name)")
                    == workspace.data("run/checkpoints/step-12/\(name)"), "\(name)")
        }
        let score = ["score", "--ids", "1 2 3 4 5", "--json", "--device", "cpu", "--model"]
        let scores = try ["run", "exported"].map {
            try ForjaProcess(score + [$0], in: workspace).wait().output
        }
        #expect(scores[0] == scores[1] && !scores[0].isEmpty)
        // Never over something.
        let again = try workspace.run("convert", "run", "exported")
        #expect(again.status == 1 && again.errors.contains("is there already"), "\(again)")
    }

    @Test("weights are rounded to the type asked for", arguments: ["bf16", "f16"])
    func rounds(type: String) throws {
        let workspace = try Workspace.withTrainedRun()
        let outcome = try workspace.run("convert", "run", "small", "--dtype", type)
        #expect(outcome.status == 0, "\(outcome)")
        let source = try SafetensorsFile(
            contentsOf: workspace.file("run/checkpoints/step-12/model.safetensors"))
        let small = try SafetensorsFile(contentsOf: workspace.file("small/model.safetensors"))
        #expect(small.tensors.map(\.name).sorted() == source.tensors.map(\.name).sorted())
        for tensor in source.tensors {
            let values = try source.withUnsafeBytes(of: tensor.name) { bytes in
                (0..<bytes.count / 4).map {
                    bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
                }
            }
            let bits = try small.withUnsafeBytes(of: tensor.name) { bytes in
                (0..<bytes.count / 2).map {
                    bytes.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)
                }
            }
            // Half a unit in the last of 8 or 11 digits; below float16's normal numbers, half their spacing.
            let (relative, absolute): (Float, Float) =
                type == "bf16" ? (0x1p-8, 0) : (0x1p-11, 0x1p-25)
            #expect(values.count == bits.count)
            for (value, bits) in zip(values, bits) {
                let stored =
                    type == "bf16" ? Float(bitPattern: UInt32(bits) << 16) : float16Value(bits)
                #expect(abs(stored - value) <= abs(value) * relative + absolute)
            }
        }
        let config = try #require(
            JSONSerialization.jsonObject(with: workspace.data("small/config.json"))
                as? [String: Any])
        #expect(config["torch_dtype"] as? String == (type == "bf16" ? "bfloat16" : "float16"))
        let generated = try workspace.run(
            "generate", "--model", "small", "--prompt", "fox", "--max-tokens", "4",
            "--device", "cpu")
        #expect(generated.status == 0, "\(generated)")
    }

    @Test("a weight that float16 cannot hold is refused by name, and nothing is left")
    func refusesLargeWeights() throws {
        let workspace = try Workspace.withTrainedRun()
        let path = workspace.file("run/checkpoints/step-12/model.safetensors")
        let file = try SafetensorsFile(contentsOf: path)
        let tensor = try #require(file.tensors.first)
        var bytes = try workspace.data("run/checkpoints/step-12/model.safetensors")
        let start = try file.byteRange(of: tensor.name).lowerBound
        withUnsafeBytes(of: Float(70_000)) {
            bytes.replaceSubrange(start..<start + 4, with: Data($0))
        }
        try bytes.write(to: URL(fileURLWithPath: path))
        let outcome = try workspace.run("convert", "run", "small", "--dtype", "f16")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains(tensor.name), "\(outcome)")
        #expect(outcome.errors.contains("70000.0"), "\(outcome)")
        #expect(outcome.errors.contains("bf16"), "\(outcome)")
        #expect(!workspace.has("small"))
        let missing = try workspace.run("convert", "absent", "small")
        #expect(missing.status == 1 && missing.errors.contains("absent"), "\(missing)")
    }
}
