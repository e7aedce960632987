import ForjaCore
import ForjaFormats
import Foundation

/// A model on disk: a directory in Hugging Face layout, or a run directory, of which the newest checkpoint is taken.
public struct ModelDirectory: Sendable {
    /// The directory that holds config.json.
    public let path: String
    public let huggingFace: HuggingFaceConfig
    public let configuration: LlamaConfiguration

    /// - Throws: `.inputOutput` when neither layout is there; `.invalidInput` when config.json is of another architecture.
    public init(_ path: String) throws(ForjaError) {
        self.path = try Self.resolve(path)
        huggingFace = try HuggingFaceConfig(
            contentsOf: (self.path as NSString).appendingPathComponent("config.json"))
        configuration = LlamaConfiguration(huggingFace)
        try configuration.validate()
    }

    public func tokenizer() throws(ForjaError) -> Tokenizer {
        let file = (path as NSString).appendingPathComponent("tokenizer.json")
        guard FileManager.default.fileExists(atPath: file) else {
            throw ForjaError(
                .inputOutput, "\(path) has no tokenizer.json",
                fix: "add it, or use a command that takes --ids")
        }
        return try Tokenizer(contentsOf: file)
    }

    /// Chats as the model was trained on them.
    ///
    /// - Throws: `.invalidInput` when the directory names no template that is known.
    public func chatEncoder(_ tokenizer: Tokenizer) throws(ForjaError) -> ChatEncoder {
        try ChatEncoder(
            directory: path, tokenizer: tokenizer,
            endOfText: huggingFace.endOfTextIDs.first.flatMap(tokenizer.token(of:)))
    }

    public func safetensors() throws(ForjaError) -> SafetensorsDirectory {
        try SafetensorsDirectory(path)
    }

    /// What tells this model from another without reading its weights: configuration and tokenizer by content, weight files by
    /// name, size and time of change.
    ///
    /// - Throws: `.inputOutput` when the directory cannot be read.
    public func identity() throws(ForjaError) -> String {
        var stream = SHA256Stream()
        let files = FileManager.default
        do {
            for name in try files.contentsOfDirectory(atPath: path).sorted() {
                let file = (path as NSString).appendingPathComponent(name)
                if ["config.json", "tokenizer.json"].contains(name) {
                    let digest = try SHA256Digest(contentsOf: file)
                    stream.update("\(name) \(digest)\n")
                } else if name.hasSuffix(".safetensors") {
                    let attributes = try files.attributesOfItem(
                        atPath: URL(fileURLWithPath: file).resolvingSymlinksInPath().path)
                    let size = attributes[.size] as? Int ?? 0
                    let time = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
                    stream.update("\(name) \(size) \(time)\n")
                }
            }
        } catch {
            if let error = error as? ForjaError { throw error }
            throw ForjaError(
                .inputOutput, "\(path) cannot be read: \(error.localizedDescription)",
                fix: "check its permissions")
        }
        return "\(stream.digest)"
    }

    /// Ids that end a text.
    public var stopIDs: Set<Int32> { Set(huggingFace.endOfTextIDs) }

    /// The token a text without a prompt starts from.
    public var startID: Int32? {
        huggingFace.beginOfTextID ?? huggingFace.endOfTextIDs.first
    }

    private static func resolve(_ path: String) throws(ForjaError) -> String {
        let files = FileManager.default
        func has(_ directory: String) -> Bool {
            files.fileExists(
                atPath: (directory as NSString).appendingPathComponent("config.json"))
        }
        if has(path) { return path }
        let checkpoints = (path as NSString).appendingPathComponent("checkpoints")
        let steps = ((try? files.contentsOfDirectory(atPath: checkpoints)) ?? [])
            .compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
        for step in steps.reversed() {
            let checkpoint = (checkpoints as NSString).appendingPathComponent("step-\(step)")
            if has(checkpoint) { return checkpoint }
        }
        throw ForjaError(
            .inputOutput,
            files.fileExists(atPath: path)
                ? "\(path) holds neither a config.json nor a checkpoint"
                : "there is no model directory \(path)",
            fix: "give a Hugging Face directory or a run directory")
    }
}
