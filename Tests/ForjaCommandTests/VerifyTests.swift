import Foundation
import Testing

@Suite("verify")
struct VerifyTests {
    @Test("prints one score a row, in order")
    func scores() throws {
        let workspace = try Workspace()
        try workspace.write(
            "rows.jsonl",
            """
            {"response": "so 7\\n#### 7", "ground_truth": "7", "id": 1}
            {"response": "8", "ground_truth": 7}

            {"response": "-2.5", "ground_truth": [1, -2.5]}
            {"response": "", "ground_truth": 3.0}
            {"response": "It is 3", "ground_truth": 3.0}
            """)
        let outcome = try workspace.run(
            "verify", "--verifier", "gsm8k", "--input", "rows.jsonl", "--json")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "{\"scores\":[1,0,1,0,1]}\n")
        let lines = try workspace.run("verify", "--verifier", "gsm8k", "--input", "rows.jsonl")
        #expect(lines.output == "1\n0\n1\n0\n1\n")
    }

    @Test(
        "a bad row fails the command by its line",
        arguments: [
            ("{\"response\": \"7\"}", "\"ground_truth\" is missing"),
            ("{\"response\": 7, \"ground_truth\": 7}", "\"response\" is not a string"),
            ("{\"response\": null, \"ground_truth\": 7}", "\"response\""),
            ("{\"response\": \"7\", \"ground_truth\": []}", "\"ground_truth\" is an empty list"),
            ("{\"response\": \"7\", \"ground_truth\": [true]}", "ground_truth"),
            ("{\"response\": \"7\", \"ground_truth\": \"seven\"}", "\"seven\" is not a number"),
            ("[1]", "not a JSON object"), ("{\"response\": ", "not JSON"),
        ])
    func badRow(row: String, words: String) throws {
        let workspace = try Workspace()
        try workspace.write(
            "rows.jsonl", "{\"response\": \"7\", \"ground_truth\": \"7\"}\n\n" + row + "\n")
        let outcome = try workspace.run(
            "verify", "--verifier", "gsm8k", "--input", "rows.jsonl", "--json")
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.contains("rows.jsonl:3"), "\(outcome)")
        #expect(outcome.errors.contains(words), "\(outcome)")
    }

    @Test("unknown verifiers, absent and empty files are errors")
    func badInput() throws {
        let workspace = try Workspace()
        try workspace.write("empty.jsonl", "\n")
        for (verifier, file) in [
            ("gsm9k", "empty.jsonl"), ("gsm8k", "absent.jsonl"), ("gsm8k", "empty.jsonl"),
        ] {
            let outcome = try workspace.run("verify", "--verifier", verifier, "--input", file)
            #expect(outcome.status == 1, "\(outcome)")
            #expect(outcome.errors.contains("fix:"), "\(outcome)")
        }
    }
}
