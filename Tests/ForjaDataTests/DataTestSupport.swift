import ForjaCore
import ForjaData
import ForjaFormats
import Foundation

/// A directory for one test, removed with it.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        path = (NSTemporaryDirectory() as NSString)
            .appendingPathComponent("forja-\(UUID().uuidString)")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(name: String) -> String { (path as NSString).appendingPathComponent(name) }

    /// Writes a file and returns its path.
    func write(_ text: String, to name: String) throws -> String {
        try AtomicFile.write(text, to: self[name])
        return self[name]
    }

    /// A shard of the given tokens.
    func shard(
        _ tokens: [Int32], vocabularySize: Int = 1000, endOfText: Int32? = nil
    ) throws -> TokenShard {
        let digest = SHA256Digest(of: "test")
        let writer = try TokenShardWriter(
            path: self["\(UUID().uuidString).shard"],
            header: .init(
                vocabularySize: vocabularySize, endOfText: endOfText, tokenizerDigest: digest,
                sourceDigest: digest))
        try writer.append(tokens)
        return try writer.finish()
    }
}

/// Byte-level tokenizers whose merges join white space and punctuation, so that a cut in the wrong
/// place changes the tokens.
enum TestTokenizer: String, CaseIterable, Sendable {
    case llama3, gpt2, smollm, prefixSpace, wholeText

    /// After 256 bytes and 19 merges.
    static let endOfText: Int32 = 275

    private static let llama3Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"#
        + #"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#

    private var preTokenizer: String {
        func byteLevel(prefix: Bool, regex: Bool) -> String {
            """
            {"type": "ByteLevel", "add_prefix_space": \(prefix), "trim_offsets": true,
             "use_regex": \(regex)}
            """
        }
        func sequence(_ first: String) -> String {
            """
            {"type": "Sequence", "pretokenizers": [\(first),
             \(byteLevel(prefix: false, regex: self == .smollm))]}
            """
        }
        return switch self {
        case .llama3:
            sequence(
                """
                {"type": "Split", "pattern": {"Regex": "\(Self.llama3Pattern)"},
                 "behavior": "Isolated", "invert": false}
                """)
        case .smollm: sequence(#"{"type": "Digits", "individual_digits": true}"#)
        case .gpt2: byteLevel(prefix: false, regex: true)
        case .prefixSpace: byteLevel(prefix: true, regex: true)
        case .wholeText: byteLevel(prefix: false, regex: false)
        }
    }

    /// The 256 byte tokens in GPT-2's alphabet, then one token a merge.
    var json: String {
        let printable = Array(33...126) + Array(161...172) + Array(174...255)
        var alphabet: [Int: String] = [:]
        var next: UInt32 = 256
        for byte in 0..<256 {
            if printable.contains(byte) {
                alphabet[byte] = String(Unicode.Scalar(UInt8(byte)))
            } else {
                alphabet[byte] = Unicode.Scalar(next).map(String.init)
                next += 1
            }
        }
        let pairs = [
            (" ", " "), ("\n", "\n"), (" ", "\n"), ("\n", " "), (".", "\n"), ("\r", "\n"),
            (" ", "a"), ("a", "b"), ("b", " "), ("a", "\n"), ("\n", "a"), ("1", "2"), ("a", "1"),
            ("  ", "  "), ("\n\n", "\n"), (".\n", "\n"), ("\t", "\t"), (" ", "."), ("'", "s"),
        ]
        func spelt(_ text: String) -> String {
            text.utf8.map { alphabet[Int($0)] ?? "" }.joined()
        }
        var tokens = (0..<256).map { alphabet[$0] ?? "" }
        tokens += pairs.map { spelt($0.0 + $0.1) }
        func quoted(_ text: String) -> String {
            "\"\(text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
        }
        let vocabulary = tokens.enumerated().map { "\(quoted($1)): \($0)" }
        let merges = pairs.map { "[\(quoted(spelt($0.0))), \(quoted(spelt($0.1)))]" }
        return """
            {"version": "1.0", "truncation": null, "padding": null,
             "added_tokens": [{"id": \(Self.endOfText), "content": "<|endoftext|>",
               "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
               "special": true}],
             "normalizer": null, "pre_tokenizer": \(preTokenizer), "post_processor": null,
             "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
               "use_regex": true},
             "model": {"type": "BPE", "dropout": null, "unk_token": null,
               "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
               "byte_fallback": false, "ignore_merges": false,
               "vocab": {\(vocabulary.joined(separator: ", "))},
               "merges": [\(merges.joined(separator: ", "))]}}
            """
    }

    func make() throws -> Tokenizer { try Tokenizer(json: Data(json.utf8)) }
}
