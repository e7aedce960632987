import ForjaCore
import Foundation

extension HuggingFaceConfig {
    /// Text of a `config.json` that transformers 4 and 5 both load without a warning.
    ///
    /// It carries the names of 4 (`rope_theta`, `rope_scaling`, `torch_dtype`), which 5 still
    /// reads and turns into its own. What is absent is written as `null`: transformers gives some
    /// missing keys a value of its own, such as 2 for the end of text.
    public var configJSON: String {
        Self.object([
            ("architectures", "[\"LlamaForCausalLM\"]"),
            ("attention_bias", "false"),
            ("attention_dropout", "0.0"),
            ("bos_token_id", Self.literal(beginOfTextID)),
            ("eos_token_id", Self.literal(endOfTextIDs)),
            ("head_dim", "\(headDimension)"),
            ("hidden_act", "\"silu\""),
            ("hidden_size", "\(hiddenSize)"),
            ("initializer_range", "\(initializerRange)"),
            ("intermediate_size", "\(intermediateSize)"),
            ("max_position_embeddings", "\(maximumPositions)"),
            ("mlp_bias", "false"),
            ("model_type", "\"llama\""),
            ("num_attention_heads", "\(headCount)"),
            ("num_hidden_layers", "\(layerCount)"),
            ("num_key_value_heads", "\(keyValueHeadCount)"),
            ("pad_token_id", Self.literal(paddingID)),
            ("pretraining_tp", "1"),
            ("rms_norm_eps", "\(rmsNormEpsilon)"),
            ("rope_scaling", Self.literal(ropeScaling)),
            ("rope_theta", "\(ropeTheta)"),
            ("tie_word_embeddings", "\(tiesWordEmbeddings)"),
            ("torch_dtype", dtype.flatMap { Self.torchNames[$0] }.map { "\"\($0)\"" } ?? "null"),
            ("use_cache", "true"),
            ("vocab_size", "\(vocabularySize)"),
        ])
    }

    /// Text of a `generation_config.json`: the special tokens, and nothing that changes sampling.
    public var generationConfigJSON: String {
        Self.object(
            [
                ("bos_token_id", Self.literal(beginOfTextID)),
                ("eos_token_id", Self.literal(endOfTextIDs)),
                ("pad_token_id", Self.literal(paddingID)),
            ].filter { $0.1 != "null" })
    }

    /// Writes `config.json` and `generation_config.json` into a directory.
    ///
    /// - Throws: `.inputOutput`.
    public func write(into directory: String) throws(ForjaError) {
        let folder = directory as NSString
        try AtomicFile.write(configJSON, to: folder.appendingPathComponent("config.json"))
        try AtomicFile.write(
            generationConfigJSON, to: folder.appendingPathComponent("generation_config.json"))
    }

    // Foundation's encoder prints 8.0 as 8, which Python reads as an integer and transformers
    // warns about ("must be a float"). Swift's own description of a Double is valid JSON and keeps
    // the point.
    private static func object(_ members: [(String, String)], indent: String = "") -> String {
        let lines = members.map { "\(indent)  \"\($0.0)\": \($0.1)" }
        return "{\n\(lines.joined(separator: ",\n"))\n\(indent)}" + (indent.isEmpty ? "\n" : "")
    }

    private static func literal(_ id: Int32?) -> String { id.map(String.init) ?? "null" }

    private static func literal(_ ids: [Int32]) -> String {
        ids.count > 1
            ? "[\(ids.map(String.init).joined(separator: ", "))]" : literal(ids.first)
    }

    private static func literal(_ scaling: RopeScaling?) -> String {
        guard case .llama3(let factor, let low, let high, let original)? = scaling else {
            return "null"
        }
        return object(
            [
                ("factor", "\(factor)"),
                ("high_freq_factor", "\(high)"),
                ("low_freq_factor", "\(low)"),
                ("original_max_position_embeddings", "\(original)"),
                ("rope_type", "\"llama3\""),
            ], indent: "  ")
    }
}
