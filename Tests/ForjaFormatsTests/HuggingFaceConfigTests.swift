import ForjaCore
import ForjaFormats
import Foundation
import Testing

private let fixtures = (#filePath as NSString).deletingLastPathComponent + "/../Fixtures/llama/"

@Suite("config.json")
struct HuggingFaceConfigTests {
    private func read(_ json: String) throws -> HuggingFaceConfig {
        let directory = try ScratchDirectory()
        try AtomicFile.write(json, to: directory["config.json"])
        return try HuggingFaceConfig(contentsOf: directory["config.json"])
    }

    /// The least that a config must have, plus `extra`.
    private func minimal(_ extra: String = "") -> String {
        """
        {"model_type": "llama", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48,
         "num_hidden_layers": 2, "num_attention_heads": 4\(extra.isEmpty ? "" : ", \(extra)")}
        """
    }

    @Test(
        "transformers 4 and 5 write the same model differently",
        arguments: [("tied", 8, true), ("untied-wide-heads", 12, false)])
    func readsBothVersions(folder: String, headDimension: Int, isTied: Bool) throws {
        let expected = HuggingFaceConfig(
            vocabularySize: 96, hiddenSize: 32, intermediateSize: 48, layerCount: 2,
            headCount: 4, keyValueHeadCount: 2, headDimension: headDimension,
            maximumPositions: 128, rmsNormEpsilon: 1e-5, ropeTheta: 500,
            ropeScaling: .llama3(
                factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4,
                originalMaximumPositions: 32),
            tiesWordEmbeddings: isTied, beginOfTextID: 0, endOfTextIDs: [1], dtype: .float32)
        for name in ["config.json", "transformers4/config.json"] {
            let config = try HuggingFaceConfig(contentsOf: fixtures + "\(folder)/\(name)")
            #expect(config == expected)
        }
    }

    @Test("what is absent takes the defaults of transformers")
    func takesDefaults() throws {
        let config = try read(minimal())
        #expect(config.keyValueHeadCount == 4)
        #expect(config.headDimension == 8)
        #expect(config.maximumPositions == 2048)
        #expect(config.rmsNormEpsilon == 1e-6)
        #expect(config.ropeTheta == 10000)
        #expect(config.ropeScaling == nil)
        #expect(!config.tiesWordEmbeddings)
        #expect(config.beginOfTextID == 1)
        #expect(config.endOfTextIDs == [2])
        #expect(config.dtype == nil)
    }

    @Test("end-of-text may be null, one token or a list")
    func readsEndOfText() throws {
        #expect(try read(minimal("\"eos_token_id\": null")).endOfTextIDs == [])
        #expect(try read(minimal("\"eos_token_id\": 7")).endOfTextIDs == [7])
        #expect(try read(minimal("\"eos_token_id\": [7, 9]")).endOfTextIDs == [7, 9])
    }

    @Test(
        "what the engine cannot compute is refused by its key",
        arguments: [
            ("\"model_type\": \"qwen3\"", "model_type"),
            ("\"architectures\": [\"LlamaForSequenceClassification\"]", "architectures"),
            ("\"hidden_act\": \"gelu\"", "hidden_act"),
            ("\"attention_bias\": true", "attention_bias"),
            ("\"mlp_bias\": true", "mlp_bias"),
            ("\"attention_dropout\": 0.1", "attention_dropout"),
            ("\"quantization_config\": {\"bits\": 4}", "quantization_config"),
            ("\"num_key_value_heads\": 3", "num_key_value_heads"),
            ("\"head_dim\": 9", "head_dim"),
            ("\"rope_theta\": 0", "rope_theta"),
            ("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", "rope_scaling.type"),
            ("\"rope_scaling\": {\"rope_type\": \"yarn\"}", "rope_scaling.rope_type"),
            ("\"rope_parameters\": {\"rope_type\": \"dynamic\"}", "rope_parameters.rope_type"),
            ("\"rope_parameters\": {\"partial_rotary_factor\": 0.5}", "partial_rotary_factor"),
            ("\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}", "low_freq_factor"),
            ("\"torch_dtype\": \"float64\"", "torch_dtype"),
            ("\"hidden_size\": \"32\"", "hidden_size"),
            ("\"vocab_size\": 0", "vocab_size"),
            ("\"vocab_size\": 99999999999", "vocab_size"),
            ("\"eos_token_id\": \"</s>\"", "eos_token_id"),
        ])
    func refusesByKey(member: String, key: String) throws {
        // A later member of the same name wins in the text below by replacing the first.
        let name = member.split(separator: ":")[0]
        let rest = minimal().dropFirst().dropLast().split(separator: ",")
            .filter { !$0.contains(name) }.joined(separator: ",")
        let error = #expect(throws: ForjaError.self) { try read("{\(rest), \(member)}") }
        #expect(error?.message.contains(key) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("config.json") == true)
    }

    @Test("a missing shape and text that is no JSON are refused")
    func refusesDamage() throws {
        let missing = #expect(throws: ForjaError.self) {
            try read("{\"model_type\": \"llama\", \"hidden_size\": 32}")
        }
        #expect(missing?.message.contains("lacks num_attention_heads") == true)
        let broken = #expect(throws: ForjaError.self) { try read("{\"model_type\":") }
        #expect(broken?.code == .damagedFile)
    }

    @Test("reads back what it writes", arguments: [true, false])
    func readsBack(isScaled: Bool) throws {
        let config = HuggingFaceConfig(
            vocabularySize: 512, hiddenSize: 64, intermediateSize: 192, layerCount: 3,
            headCount: 6, keyValueHeadCount: 2, headDimension: 16, rmsNormEpsilon: 1e-5,
            ropeTheta: 500000,
            ropeScaling: isScaled
                ? .llama3(
                    factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4,
                    originalMaximumPositions: 8192) : nil,
            tiesWordEmbeddings: isScaled, beginOfTextID: nil, endOfTextIDs: isScaled ? [1, 2] : [],
            paddingID: 3, dtype: .bfloat16)
        let directory = try ScratchDirectory()
        try config.write(into: directory.path)
        #expect(try HuggingFaceConfig(contentsOf: directory["config.json"]) == config)
        let text = try String(contentsOfFile: directory["config.json"], encoding: .utf8)
        // Python must read these as floating-point numbers.
        #expect(text.contains("\"rope_theta\": 500000.0"))
        #expect(text.contains("\"factor\": 32.0") == isScaled)
        let generation = try String(
            contentsOfFile: directory["generation_config.json"], encoding: .utf8)
        #expect(generation.contains("\"eos_token_id\": [1, 2]") == isScaled)
    }
}
