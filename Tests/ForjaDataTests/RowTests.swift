import ForjaCore
import ForjaData
import ForjaFormats
import Testing

@Suite("Rows")
struct RowTests {
    private let directory: ScratchDirectory

    init() throws { directory = try ScratchDirectory() }

    private func read<Row: Decodable>(
        _ text: String, as type: Row.Type, badRows: BadRowPolicy = .refuse
    ) throws -> Rows<Row> {
        try JSONLines.read(
            directory.write(text, to: "rows.jsonl"), as: type, badRows: badRows)
    }

    private func message<Row: Decodable>(of row: String, as type: Row.Type) throws -> String {
        do throws(ForjaError) {
            let path: String
            do { path = try directory.write("\n" + row + "\n", to: "bad.jsonl") } catch {
                return "\(error)"
            }
            _ = try JSONLines.read(path, as: type)
            return "accepted"
        } catch { return error.message }
    }

    @Test("chats come as messages, or as prompt and completion")
    func chats() throws {
        let rows = try read(
            """
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "id": 3}

            {"prompt": "u", "completion": "a"}
            {"prompt": [{"role": "user", "content": "u"}], "completion": [{"role": "assistant", "content": "a"}]}
            """, as: ChatRow.self)
        #expect(rows.lines == [1, 3, 4])
        #expect(rows.values[0].messages == [.system("s"), .user("u"), .assistant("a")])
        #expect(rows.values[1].messages == [.user("u"), .assistant("a")])
        #expect(rows.values[2] == rows.values[1])
    }

    @Test(
        "a bad chat is refused by line and key",
        arguments: [
            ("{\"text\": \"a\"}", "neither \"messages\" nor \"prompt\""),
            ("{\"messages\": []}", "\"messages\" holds no messages"),
            ("{\"messages\": {}}", "\"messages\" is not a list"),
            ("{\"messages\": [{\"content\": \"a\"}]}", "\"messages[0].role\" is missing"),
            (
                "{\"messages\": [{\"role\": \"bot\", \"content\": \"a\"}]}",
                "\"messages[0].role\" is \"bot\""
            ),
            ("{\"messages\": [{\"role\": \"user\"}]}", "\"messages[0].content\" is missing"),
            (
                "{\"messages\": [{\"role\": \"assistant\", \"content\": null}]}",
                "\"messages[0].content\" is null"
            ),
            (
                "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\"}]}",
                "\"messages[0].content\" is empty"
            ),
            (
                "{\"messages\": [{\"role\": \"assistant\", \"content\": 5}]}",
                "\"messages[0].content\" is not a string"
            ),
            ("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", "nothing to learn"),
            ("{\"prompt\": \"a\"}", "\"completion\" is missing"),
            ("{\"prompt\": \"\", \"completion\": \"a\"}", "\"prompt\" is empty"),
            ("{\"prompt\": 4, \"completion\": \"a\"}", "\"prompt\" is neither a text nor"),
            ("[]", "not a JSON object"), ("{\"messages\": [", "not JSON"),
        ])
    func badChats(row: String, words: String) throws {
        let message = try message(of: row, as: ChatRow.self)
        #expect(message.contains("bad.jsonl:2: "), "\(message)")
        #expect(message.contains(words), "\(message)")
    }

    @Test("preferences come as whole chats, or as answers to a prompt")
    func preferences() throws {
        let rows = try read(
            """
            {"chosen": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "b"}]}
            {"prompt": "u", "chosen": "a", "rejected": "b"}
            {"prompt": [{"role": "user", "content": "u"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
            {"prompt": "u", "chosen": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "rejected": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "b"}]}
            """, as: PreferenceRow.self)
        for row in rows.values {
            #expect(row.prompt == [.user("u")])
            #expect(row.chosenChat == [.user("u"), .assistant("a")])
            #expect(row.rejectedChat == [.user("u"), .assistant("b")])
        }
        #expect(rows.count == 4)
    }

    @Test(
        "a bad preference is refused by line and key",
        arguments: [
            ("{\"chosen\": \"a\", \"rejected\": \"b\"}", "no \"prompt\" before it"),
            ("{\"prompt\": \"u\", \"chosen\": \"a\"}", "\"rejected\" is missing"),
            ("{\"prompt\": \"u\", \"chosen\": \"a\", \"rejected\": \"a\"}", "are equal"),
            ("{\"prompt\": \"u\", \"chosen\": \"\", \"rejected\": \"a\"}", "\"chosen\" is empty"),
            (
                "{\"chosen\": [{\"role\": \"user\", \"content\": \"u\"}], \"rejected\": [{\"role\": \"user\", \"content\": \"v\"}]}",
                "does not end with a message of the assistant"
            ),
            (
                "{\"chosen\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"user\", \"content\": \"v\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
                "differ before their last message"
            ),
        ])
    func badPreferences(row: String, words: String) throws {
        let message = try message(of: row, as: PreferenceRow.self)
        #expect(message.contains("bad.jsonl:2: "), "\(message)")
        #expect(message.contains(words), "\(message)")
    }

    @Test("reward rows hold a prompt and checks, one or several")
    func rewards() throws {
        let rows = try read(
            """
            {"messages": [{"role": "user", "content": "u"}], "ground_truth": "7", "dataset": "gsm8k"}
            {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "ground_truth": [1, 2.5]}
            {"prompt": "u", "ground_truth": ["7", ["x", "y"]], "dataset": ["gsm8k", "exact"]}
            """, as: RewardRow.self
        ).values
        #expect(rows.allSatisfy { $0.prompt == [.user("u")] })
        func check(_ verifier: String?, _ accepted: [String]) -> RewardRow.Check {
            RewardRow.Check(verifier: verifier, groundTruth: GroundTruth(accepted))
        }
        #expect(rows[0].checks == [check("gsm8k", ["7"])])
        #expect(rows[1].checks == [check(nil, ["1", "2.5"])])
        #expect(rows[2].checks == [check("gsm8k", ["7"]), check("exact", ["x", "y"])])
    }

    @Test(
        "a bad reward row is refused by line and key",
        arguments: [
            ("{\"prompt\": \"u\"}", "\"ground_truth\" is missing"),
            ("{\"ground_truth\": \"7\"}", "neither \"messages\" nor \"prompt\""),
            ("{\"prompt\": \"u\", \"ground_truth\": {}}", "\"ground_truth\" is not a string"),
            (
                "{\"prompt\": \"u\", \"ground_truth\": [\"7\"], \"dataset\": [\"a\", \"b\"]}",
                "\"dataset\" has 2"
            ),
            (
                "{\"prompt\": \"u\", \"ground_truth\": \"7\", \"dataset\": 3}",
                "\"dataset\" is not a string"
            ),
            (
                "{\"messages\": [{\"role\": \"assistant\", \"content\": \"u\"}], \"ground_truth\": \"7\"}",
                "no message comes before"
            ),
        ])
    func badRewards(row: String, words: String) throws {
        let message = try message(of: row, as: RewardRow.self)
        #expect(message.contains("bad.jsonl:2: "), "\(message)")
        #expect(message.contains(words), "\(message)")
    }

    @Test("rows left out are listed with line and reason")
    func skipping() throws {
        let rows = try read(
            "{\"prompt\": \"u\", \"completion\": \"a\"}\n{\"prompt\": \"u\"}\n\n{",
            as: ChatRow.self,
            badRows: .skip)
        #expect(rows.count == 1)
        #expect(rows.skipped.map(\.line) == [2, 4])
        #expect(rows.skipped[0].reason == "\"completion\" is missing")
        #expect(rows.skipped[1].reason == "the line is not JSON")
        #expect(throws: ForjaError.self) { try read(" \n", as: ChatRow.self) }
    }
}
