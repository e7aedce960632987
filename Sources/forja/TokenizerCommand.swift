import ArgumentParser
import ForjaCore
import ForjaData
import ForjaFormats
import Foundation

struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Trains, applies and reverses tokenizers.",
        subcommands: [
            TokenizerTrainCommand.self, TokenizerEncodeCommand.self, TokenizerDecodeCommand.self,
        ])
}

/// A tokenizer.json, or a directory that holds one.
func openTokenizer(_ path: String) throws(ForjaError) -> Tokenizer {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
        throw ForjaError(
            .inputOutput, "there is no tokenizer \(path)",
            fix: "give a tokenizer.json or a directory that holds one")
    }
    return try Tokenizer(
        contentsOf: isDirectory.boolValue
            ? (path as NSString).appendingPathComponent("tokenizer.json") : path)
}

struct TokenizerEncodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode", abstract: "Turns text into token ids.",
        discussion: """
            With --jsonl and --json one JSON line is printed for each row's text field.

              forja tokenizer encode --tokenizer runs/first/tokenizer.json --text "To be" --json
            """)

    @Option(help: "A tokenizer.json, or a directory that holds one.")
    var tokenizer: String

    @Option(help: "Text to encode.")
    var text: String?

    @Option(help: "File whose whole text is encoded.")
    var input: String?

    @Option(help: "JSONL file whose rows have a text field.")
    var jsonl: String?

    @Flag(help: "Leaves out the special tokens that the tokenizer adds.")
    var noSpecialTokens = false

    @Flag(help: "Print {\"ids\":[..]}.")
    var json = false

    func validate() throws {
        guard [text, input, jsonl].compactMap({ $0 }).count == 1 else {
            throw ValidationError("give one of --text, --input and --jsonl")
        }
    }

    func run() throws {
        let tokenizer = try openTokenizer(tokenizer)
        func emit(_ text: String) throws(ForjaError) {
            let ids = tokenizer.encode(text, addSpecialTokens: !noSpecialTokens)
            if json {
                try Console.json(["ids": ids])
            } else {
                Console.result(ids.map(String.init).joined(separator: " "))
            }
        }
        if let text { try emit(text) }
        if let input { try emit(try readText(input)) }
        guard let jsonl else { return }
        for (index, line) in try readText(jsonl).split(separator: "\n").enumerated() {
            guard
                let row = try? JSONSerialization.jsonObject(with: Data(line.utf8))
                    as? [String: Any], let text = row["text"] as? String
            else {
                throw ForjaError(
                    .invalidInput, "\(jsonl):\(index + 1) is not an object with a text field",
                    fix: "each line is {\"text\": \"...\"}")
            }
            try emit(text)
        }
    }
}

/// A whole UTF-8 file.
private func readText(_ path: String) throws(ForjaError) -> String {
    guard let data = FileManager.default.contents(atPath: path) else {
        throw ForjaError(.inputOutput, "\(path) cannot be read", fix: "check the path")
    }
    guard let text = String(data: data, encoding: .utf8) else {
        throw ForjaError(.invalidInput, "\(path) is not UTF-8", fix: "convert it to UTF-8")
    }
    return text
}

struct TokenizerDecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Turns token ids into text.",
        discussion: "  forja tokenizer decode --tokenizer runs/first/tokenizer.json --ids \"1 2 3\""
    )

    @Option(help: "A tokenizer.json, or a directory that holds one.")
    var tokenizer: String

    @Option(help: "Token ids, as \"1 2 3\".")
    var ids: String

    @Flag(help: "Print {\"text\":\"..\"}.")
    var json = false

    func run() throws {
        let tokenizer = try openTokenizer(tokenizer)
        let ids = try parseIDs(ids)
        if let id = ids.first(where: { $0 >= Int32(tokenizer.vocabularySize) }) {
            throw ForjaError(
                .invalidInput,
                "token \(id) is outside the vocabulary of \(tokenizer.vocabularySize)",
                fix: "use ids in 0 ..< \(tokenizer.vocabularySize)")
        }
        let text = tokenizer.decode(ids)
        if json { try Console.json(["text": text]) } else { Console.result(text) }
    }
}

struct TokenizerTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Trains a byte-level BPE tokenizer.",
        discussion: """
            Writes a Hugging Face tokenizer.json with Llama 3's pre-tokenizer; equal text gives equal bytes.

              forja tokenizer train --input examples/tinyshakespeare/input.txt --vocab-size 1024 \\
                --output tokenizer.json
            """)

    @Option(parsing: .upToNextOption, help: "Text files, or JSONL with a text field.")
    var input: [String]

    @Option(help: "Tokens in all: 256 bytes, merges and special tokens.")
    var vocabSize: Int?

    @Flag(help: "Takes the characters seen as the vocabulary instead of training merges.")
    var characters = false

    @Option(parsing: .upToNextOption, help: "Special tokens.")
    var specialTokens = ["<|end_of_text|>"]

    @Option(help: "Where to write the tokenizer.json.")
    var output: String

    func validate() throws {
        guard characters != (vocabSize != nil) else {
            throw ValidationError("give one of --vocab-size and --characters")
        }
    }

    func run() throws {
        var trainer = TokenizerTrainer()
        for file in input { try trainer.add(TextSource(path: file)) }
        let trained =
            if let vocabSize {
                try trainer.bytePairTokenizer(
                    vocabularySize: vocabSize, specialTokens: specialTokens)
            } else {
                try trainer.characterTokenizer()
            }
        try trained.write(to: output)
        Console.result("\(output): \(trained.vocabularySize) tokens")
    }
}
