import ForjaCore
import ForjaFormats
import Foundation
import Testing

/// Made by Tests/Fixtures/chat/make.py with transformers.
private let fixtures = (#filePath as NSString).deletingLastPathComponent + "/../Fixtures/chat/"

@Suite("Chat templates")
struct ChatTemplateTests {
    private struct Case: Decodable {
        let template: String
        let messages: [ChatMessage]
        let text: String
        let ids: [Int32]
        let mask: [Int]
        let promptText: String
        let promptIds: [Int32]
    }

    private static let endOfText = "<|endoftext|>"

    private static let templates = Result {
        try JSONDecoder().decode(
            [String: String].self,
            from: Data(contentsOf: URL(fileURLWithPath: fixtures + "templates.json")))
    }

    private func template(_ name: String) throws -> ChatTemplate {
        try ChatTemplate(jinja: #require(try Self.templates.get()[name]))
    }

    private func tokenizer() throws -> Tokenizer {
        try Tokenizer(contentsOf: fixtures + "tokenizer.json")
    }

    @Test("texts, ids, prompts and answer masks are those of transformers")
    func goldens() throws {
        let tokenizer = try tokenizer()
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let lines = try Data(contentsOf: URL(fileURLWithPath: fixtures + "chats.jsonl"))
            .split(separator: 0x0A)
        #expect(lines.count == 40)
        for line in lines {
            let golden = try decoder.decode(Case.self, from: Data(line))
            let template = try template(golden.template)
            let place: Comment = "\(golden.template): \(golden.text.debugDescription)"
            func text(prompt: Bool) throws -> String {
                try template.text(
                    of: golden.messages, endOfText: Self.endOfText, addsGenerationPrompt: prompt)
            }
            #expect(try text(prompt: false) == golden.text, place)
            #expect(try text(prompt: true) == golden.promptText, place)
            let encoder = try ChatEncoder(
                template, tokenizer: tokenizer, endOfText: Self.endOfText)
            let tokens = try encoder.encode(golden.messages)
            #expect(tokens.ids == golden.ids, place)
            #expect(tokens.isLabel == golden.mask.map { $0 == 1 }, place)
            #expect(try encoder.prompt(golden.messages) == golden.promptIds, place)
        }
    }

    @Test("a template is known by its exact text or its name, and writes that text")
    func recognition() throws {
        let expected: [String: ChatTemplate] = [
            "tulu": ChatTemplate(.tulu), "llama3.1": ChatTemplate(.llama31),
            "chatml": ChatTemplate(.chatML),
            "chatml-default-system": ChatTemplate(
                .chatML, defaultSystem: "You are a helpful assistant."),
        ]
        for (name, text) in try Self.templates.get() {
            #expect(try ChatTemplate(jinja: text) == expected[name])
            #expect(expected[name]?.jinja == text)
            #expect(throws: ForjaError.self) { try ChatTemplate(jinja: text + " ") }
        }
        for kind in ChatTemplate.Kind.allCases {
            #expect(try ChatTemplate(named: kind.rawValue).kind == kind)
            #expect(try ChatTemplate(jinja: kind.rawValue).kind == kind)
        }
        #expect(throws: ForjaError.self) { try ChatTemplate(named: "alpaca") }
        let trick = try #require(try Self.templates.get()["chatml-default-system"])
            .replacing("You are a helpful assistant.", with: "' + bos_token + '")
        #expect(throws: ForjaError.self) { try ChatTemplate(jinja: trick) }
    }

    @Test("the last answer alone is trained where that is asked for")
    func lastAnswer() throws {
        let chat: [ChatMessage] = [
            .user("a"), .assistant("bb"), .user("c"), .assistant("dd"),
        ]
        for kind in ChatTemplate.Kind.allCases {
            let encoder = try ChatEncoder(
                ChatTemplate(kind), tokenizer: tokenizer(), endOfText: Self.endOfText)
            let every = try encoder.encode(chat)
            let last = try encoder.encode(chat, labels: .lastAnswer)
            #expect(every.ids == last.ids)
            let prompt = try encoder.prompt(Array(chat[..<3]))
            #expect(Array(last.ids[..<prompt.count]) == prompt)
            #expect(last.isLabel.firstIndex(of: true) == prompt.count)
            #expect(last.labelCount < every.labelCount)
            #expect(every.isLabel[prompt.count...] == last.isLabel[prompt.count...])
            // The first label after the prompt's end is the answer, the last one a stop token.
            let end = try #require(last.isLabel.lastIndex(of: true))
            #expect(encoder.stopTokens.contains(last.ids[end]))
        }
    }

    @Test("what begins with a line feed is encoded apart from its header")
    func lineFeedFirst() throws {
        let encoder = try ChatEncoder(
            ChatTemplate(.tulu), tokenizer: tokenizer(), endOfText: Self.endOfText)
        let tokens = try encoder.encode([.user("a"), .assistant("\n\nb")])
        let prompt = try encoder.prompt([.user("a")])
        #expect(Array(tokens.ids[..<prompt.count]) == prompt)
        #expect(tokens.isLabel.firstIndex(of: true) == prompt.count)
    }

    @Test("no message, roles without a form and absent tokens are refused")
    func refusals() throws {
        for kind in ChatTemplate.Kind.allCases {
            #expect(throws: ForjaError.self) {
                try ChatTemplate(kind).text(of: [], endOfText: "")
            }
        }
        let chat: [ChatMessage] = [.user("a"), ChatMessage(.tool, "1")]
        #expect(throws: ForjaError.self) { try ChatTemplate(.tulu).text(of: chat, endOfText: "") }
        #expect(
            try ChatTemplate(.llama31).text(of: chat, endOfText: "").hasSuffix(
                "<|start_header_id|>ipython<|end_header_id|>\n\n1<|eot_id|>"))
        let other = try Tokenizer(contentsOf: fixtures + "../tokenizer/trained.json")
        for kind in [ChatTemplate.Kind.llama31, .chatML] {
            #expect(throws: ForjaError.self) {
                try ChatEncoder(ChatTemplate(kind), tokenizer: other, endOfText: nil)
            }
        }
        #expect(throws: ForjaError.self) {
            try ChatEncoder(ChatTemplate(.tulu), tokenizer: tokenizer(), endOfText: nil)
        }
        #expect(throws: ForjaError.self) {
            try ChatEncoder(ChatTemplate(.tulu), tokenizer: tokenizer(), endOfText: "</s>")
        }
    }

    @Test("tokenizer_config.json says template and tokens, in each of its forms")
    func settings() throws {
        let directory = NSTemporaryDirectory() + "forja-chat-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        func settings(_ text: String) throws -> TokenizerSettings {
            try Data(text.utf8).write(
                to: URL(fileURLWithPath: directory + "/tokenizer_config.json"))
            return try TokenizerSettings(directory: directory)
        }
        #expect(try TokenizerSettings(directory: directory) == TokenizerSettings())
        let written = try tokenizer().configuration(
            endOfText: Self.endOfText, maximumLength: 8, chatTemplate: ChatTemplate(.tulu))
        let read = try settings(written)
        #expect(read.endOfText == Self.endOfText)
        #expect(try ChatTemplate(jinja: #require(read.chatTemplate)) == ChatTemplate(.tulu))
        #expect(
            try settings(
                """
                {"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "chat_template":
                 [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "chatml"}]}
                """)
                == TokenizerSettings(beginningOfText: "<s>", chatTemplate: "chatml"))
        #expect(throws: ForjaError.self) { try settings("{\"eos_token\": 3}") }
        #expect(throws: ForjaError.self) { try settings("{") }
        try Data(ChatTemplate(.llama31).jinja.utf8).write(
            to: URL(fileURLWithPath: directory + "/chat_template.jinja"))
        let own = try #require(try settings("{\"chat_template\": \"tulu\"}").chatTemplate)
        #expect(try ChatTemplate(jinja: own) == ChatTemplate(.llama31))
    }
}
