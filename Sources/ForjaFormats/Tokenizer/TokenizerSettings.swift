import ForjaCore
import Foundation

/// What a model directory's `tokenizer_config.json` and `chat_template.jinja` say about texts.
public struct TokenizerSettings: Sendable, Equatable {
    public var beginningOfText: String?
    public var endOfText: String?
    /// Jinja text, or the name of a template that `ChatTemplate` knows.
    public var chatTemplate: String?

    public init(
        beginningOfText: String? = nil, endOfText: String? = nil, chatTemplate: String? = nil
    ) {
        self.beginningOfText = beginningOfText
        self.endOfText = endOfText
        self.chatTemplate = chatTemplate
    }

    /// Reads a directory; where it has neither file, everything is `nil`.
    ///
    /// Newer versions of `transformers` keep the template in a file of its own, which then counts. Of several named
    /// templates, `default` is taken.
    ///
    /// - Throws: `.damagedFile` naming a file that is not what it should be; `.inputOutput`.
    public init(directory: String) throws(ForjaError) {
        self.init()
        func contents(_ name: String) throws(ForjaError) -> Data? {
            let path = (directory as NSString).appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            return try MappedFile(path: path).withUnsafeBytes { Data($0) }
        }
        if let data = try contents("tokenizer_config.json") {
            guard let file = try? JSONDecoder().decode(File.self, from: data) else {
                throw ForjaError(
                    .damagedFile,
                    "\(directory)/tokenizer_config.json is not JSON, or its tokens or chat_template "
                        + "are no texts",
                    fix: "export or download the file again")
            }
            beginningOfText = file.beginningOfText?.text
            endOfText = file.endOfText?.text
            chatTemplate = file.chatTemplate?.text
        }
        if let data = try contents("chat_template.jinja") {
            chatTemplate = String(decoding: data, as: UTF8.self)
        }
    }

    private struct File: Decodable {
        let beginningOfText: Token?
        let endOfText: Token?
        let chatTemplate: Template?

        enum CodingKeys: String, CodingKey {
            case beginningOfText = "bos_token"
            case endOfText = "eos_token"
            case chatTemplate = "chat_template"
        }
    }

    /// A string, or an object with its `content`.
    private struct Token: Decodable {
        let text: String

        private struct Object: Decodable { let content: String }

        init(from decoder: any Decoder) throws {
            text =
                if let text = try? decoder.singleValueContainer().decode(String.self) {
                    text
                } else { try Object(from: decoder).content }
        }
    }

    /// A string, or a list of named ones.
    private struct Template: Decodable {
        let text: String?

        private struct Named: Decodable {
            let name: String
            let template: String
        }

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            text =
                if let text = try? value.decode(String.self) {
                    text
                } else { try value.decode([Named].self).first { $0.name == "default" }?.template }
        }
    }
}
