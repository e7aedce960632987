import ForjaCore
import Foundation

extension HuggingFaceConfig {
    /// Reads `config.json`.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read; `.damagedFile` when it is not JSON or
    ///   lacks a shape; `.invalidInput` naming the key whose value is not supported.
    public init(contentsOf path: String) throws(ForjaError) {
        let data = try MappedFile(path: path).withUnsafeBytes { Data($0) }
        let root: [String: ConfigValue]
        do {
            root = try JSONDecoder().decode([String: ConfigValue].self, from: data)
        } catch {
            throw ForjaError(
                .damagedFile, "\(path) is not a JSON object", fix: "fetch the file again",
                cause: "\(error)")
        }
        try self.init(ConfigObject(path: path, prefix: "", members: root))
    }

    private init(_ object: ConfigObject) throws(ForjaError) {
        try Self.refuseUnsupported(object)

        let hiddenSize = try object.positive("hidden_size")
        let headCount = try object.positive("num_attention_heads")
        let keyValueHeadCount = try object.positive("num_key_value_heads", default: headCount)
        guard headCount % keyValueHeadCount == 0 else {
            throw object.refused(
                "num_key_value_heads",
                "\(keyValueHeadCount) does not divide the \(headCount) heads")
        }
        if object.isAbsent("head_dim"), hiddenSize % headCount != 0 {
            throw object.refused(
                "hidden_size",
                "\(hiddenSize) is not a multiple of the \(headCount) heads and head_dim is absent")
        }
        let headDimension = try object.positive("head_dim", default: hiddenSize / headCount)
        guard headDimension % 2 == 0 else {
            throw object.refused("head_dim", "\(headDimension) is odd, and RoPE rotates pairs")
        }
        let (theta, scaling) = try Self.rope(object)
        self.init(
            vocabularySize: try object.positive("vocab_size"), hiddenSize: hiddenSize,
            intermediateSize: try object.positive("intermediate_size"),
            layerCount: try object.positive("num_hidden_layers"), headCount: headCount,
            keyValueHeadCount: keyValueHeadCount, headDimension: headDimension,
            // From here on the defaults are those of transformers' LlamaConfig, which leaves out
            // nothing that differs from them.
            maximumPositions: try object.positive("max_position_embeddings", default: 2048),
            rmsNormEpsilon: try object.number("rms_norm_eps", default: 1e-6),
            ropeTheta: theta, ropeScaling: scaling,
            tiesWordEmbeddings: try object.flag("tie_word_embeddings", default: false),
            beginOfTextID: try object.identifiers("bos_token_id", default: [1]).first,
            endOfTextIDs: try object.identifiers("eos_token_id", default: [2]),
            paddingID: try object.identifiers("pad_token_id", default: []).first,
            dtype: try Self.dtype(object),
            initializerRange: try object.number("initializer_range", default: 0.02))
    }

    private static func refuseUnsupported(_ object: ConfigObject) throws(ForjaError) {
        let type = try object.text("model_type", default: "absent")
        guard type == "llama" else {
            throw object.refused("model_type", "\"\(type)\" is not supported; only llama is")
        }
        if case .array(let names)? = object.members["architectures"],
            !names.contains(.text("LlamaForCausalLM"))
        {
            throw object.refused("architectures", "LlamaForCausalLM is not among them")
        }
        let activation = try object.text("hidden_act", default: "silu")
        guard activation == "silu" else {
            throw object.refused("hidden_act", "\"\(activation)\" is not supported; only silu is")
        }
        for key in ["attention_bias", "mlp_bias"] where try object.flag(key, default: false) {
            throw object.refused(key, "true is not supported: linear layers have no bias here")
        }
        let dropout = try object.number("attention_dropout", default: 0)
        guard dropout == 0 else {
            throw object.refused("attention_dropout", "\(dropout) is not supported; only 0 is")
        }
        for key in ["quantization_config", "compression_config"] where !object.isAbsent(key) {
            throw object.refused(key, "quantised weights are not supported")
        }
    }

    /// `rope_parameters` of transformers 5, or `rope_theta` and `rope_scaling` of 4.
    private static func rope(
        _ object: ConfigObject
    ) throws(ForjaError) -> (theta: Double, scaling: RopeScaling?) {
        var theta = try object.number("rope_theta", default: 10000)
        let key = object.isAbsent("rope_parameters") ? "rope_scaling" : "rope_parameters"
        guard let rope = try object.object(key) else {
            try checkTheta(theta, object)
            return (theta, nil)
        }
        theta = try rope.number("rope_theta", default: theta)
        try checkTheta(theta, rope)
        let rotated = try rope.number("partial_rotary_factor", default: 1)
        guard rotated == 1 else {
            throw rope.refused("partial_rotary_factor", "\(rotated) is not supported; only 1 is")
        }
        let typeKey = rope.isAbsent("rope_type") ? "type" : "rope_type"
        let type = try rope.text(typeKey, default: "default")
        switch type {
        case "default": return (theta, nil)
        case "llama3":
            let scaling = RopeScaling.llama3(
                factor: try rope.number("factor"),
                lowFrequencyFactor: try rope.number("low_freq_factor"),
                highFrequencyFactor: try rope.number("high_freq_factor"),
                originalMaximumPositions: try rope.positive("original_max_position_embeddings"))
            if case .llama3(let factor, let low, let high, _) = scaling,
                !(factor >= 1 && low > 0 && high > low)
            {
                throw rope.refused(
                    typeKey,
                    "llama3 takes factor ≥ 1 and 0 < low_freq_factor < high_freq_factor, not "
                        + "\(factor), \(low) and \(high)")
            }
            return (theta, scaling)
        default:
            throw rope.refused(
                typeKey, "\"\(type)\" is not supported; only default and llama3 are")
        }
    }

    private static func checkTheta(_ theta: Double, _ object: ConfigObject) throws(ForjaError) {
        guard theta > 1, theta.isFinite else {
            throw object.refused("rope_theta", "\(theta) is not above 1")
        }
    }

    private static func dtype(_ object: ConfigObject) throws(ForjaError) -> DType? {
        let key = object.isAbsent("dtype") ? "torch_dtype" : "dtype"
        guard !object.isAbsent(key) else { return nil }
        let name = try object.text(key, default: "")
        guard let dtype = Self.torchNames.first(where: { $0.value == name })?.key else {
            throw object.refused(
                key, "\"\(name)\" is not supported; float32, bfloat16 and float16 are")
        }
        return dtype
    }

    static let torchNames: [DType: String] = [
        .float32: "float32", .bfloat16: "bfloat16", .float16: "float16",
    ]
}

/// A JSON value, kept apart by type so that a wrong one can be named.
private enum ConfigValue: Decodable, Equatable {
    case null
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case array([ConfigValue])
    case object([String: ConfigValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([ConfigValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: ConfigValue].self))
        }
    }
}

/// Typed look-ups that name file and key when a value does not fit. `null` counts as absent.
private struct ConfigObject {
    let path: String
    /// "rope_scaling." inside that object.
    let prefix: String
    let members: [String: ConfigValue]

    func isAbsent(_ key: String) -> Bool {
        members[key].map { $0 == .null } ?? true
    }

    func refused(_ key: String, _ what: String) -> ForjaError {
        ForjaError(
            .invalidInput, "\(path): \(prefix)\(key): \(what)",
            fix: "use a Llama model that this program supports")
    }

    private func mistyped(_ key: String, _ expected: String) -> ForjaError {
        ForjaError(
            .damagedFile, "\(path): \(prefix)\(key) is not \(expected)",
            fix: "correct \(prefix)\(key)")
    }

    private func missing(_ key: String) -> ForjaError {
        ForjaError(.damagedFile, "\(path) lacks \(prefix)\(key)", fix: "add \(prefix)\(key)")
    }

    func positive(_ key: String, default fallback: Int? = nil) throws(ForjaError) -> Int {
        guard let value = members[key], value != .null else {
            guard let fallback else { throw missing(key) }
            return fallback
        }
        // Bounded so that products of a few extents cannot overflow.
        guard case .integer(let number) = value, number > 0, number <= Int(Int32.max) else {
            throw mistyped(key, "an integer from 1 to \(Int32.max)")
        }
        return number
    }

    func number(_ key: String, default fallback: Double? = nil) throws(ForjaError) -> Double {
        switch members[key] {
        case nil, .null:
            guard let fallback else { throw missing(key) }
            return fallback
        case .integer(let number): return Double(number)
        case .number(let number) where number.isFinite: return number
        default: throw mistyped(key, "a number")
        }
    }

    func flag(_ key: String, default fallback: Bool) throws(ForjaError) -> Bool {
        switch members[key] {
        case nil, .null: return fallback
        case .flag(let value): return value
        default: throw mistyped(key, "true or false")
        }
    }

    func text(_ key: String, default fallback: String) throws(ForjaError) -> String {
        switch members[key] {
        case nil, .null: return fallback
        case .text(let value): return value
        default: throw mistyped(key, "a string")
        }
    }

    func object(_ key: String) throws(ForjaError) -> ConfigObject? {
        switch members[key] {
        case nil, .null: return nil
        case .object(let members):
            return ConfigObject(path: path, prefix: "\(prefix)\(key).", members: members)
        default: throw mistyped(key, "an object")
        }
    }

    /// Token numbers: one, a list or `null`; `fallback` only where the key is missing.
    func identifiers(_ key: String, default fallback: [Int32]) throws(ForjaError) -> [Int32] {
        let values: [ConfigValue]
        switch members[key] {
        case nil: return fallback
        case .null: return []
        case .array(let list): values = list
        case .some(let single): values = [single]
        }
        var result: [Int32] = []
        for value in values {
            guard case .integer(let number) = value, let id = Int32(exactly: number) else {
                throw mistyped(key, "a token number or a list of them")
            }
            // Some configs write -1 for "none".
            if id >= 0 { result.append(id) }
        }
        return result
    }
}
