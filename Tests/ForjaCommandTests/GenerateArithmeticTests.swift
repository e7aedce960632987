import Foundation
import Testing

@Suite("data generate arithmetic")
struct GenerateArithmeticTests {
    private func rows(_ workspace: Workspace, _ name: String) throws -> [[String: Any]] {
        try workspace.data(name).split(separator: 0x0A).map {
            try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any])
        }
    }

    private func contents(_ messages: Any?) throws -> [String] {
        try #require(messages as? [[String: String]]).compactMap { $0["content"] }
    }

    @Test("writes each question in three forms, and the verifier agrees with the answers")
    func files() throws {
        let workspace = try Workspace()
        let arguments = [
            "data", "generate", "arithmetic", "--output", "out/a", "--train", "60", "--held-out",
            "12",
            "--digits", "1-2", "--seed", "3", "--operations", "add", "multiply", "--json",
        ]
        let outcome = try ForjaProcess(arguments, in: workspace).wait()
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try outcome.json()["train"] as? Int == 60)
        for (name, count) in [("train", 60), ("held-out", 12)] {
            let rewards = try rows(workspace, "out/a/\(name).jsonl")
            let supervised = try rows(workspace, "out/a/\(name)-sft.jsonl")
            let pairs = try rows(workspace, "out/a/\(name)-preference.jsonl")
            #expect(rewards.count == count && supervised.count == count && pairs.count == count)
            var graded = ""
            for ((reward, chat), pair) in zip(zip(rewards, supervised), pairs) {
                #expect(reward["dataset"] as? String == "arithmetic")
                let answer = try #require(reward["answer"] as? String)
                let question = try contents(reward["messages"])
                #expect(try contents(chat["messages"]) == question + [answer])
                #expect(try contents(pair["chosen"]) == question + [answer])
                let rejected = try contents(pair["rejected"])
                #expect(rejected[0] == question[0])
                for response in [answer, rejected[1]] {
                    let row = ["response": response, "ground_truth": reward["ground_truth"] ?? ""]
                    let data = try JSONSerialization.data(withJSONObject: row)
                    graded += String(decoding: data, as: UTF8.self) + "\n"
                }
            }
            try workspace.write("graded.jsonl", graded)
            let scores =
                try workspace.run(
                    "verify", "--verifier", "arithmetic", "--input", "graded.jsonl", "--json"
                ).json()["scores"] as? [Int]
            #expect(scores == (0..<count).flatMap { _ in [1, 0] })
        }
        let first = try workspace.data("out/a/train-preference.jsonl")
        _ = try ForjaProcess(arguments, in: workspace).wait()
        #expect(try workspace.data("out/a/train-preference.jsonl") == first)
    }

    @Test("too few questions leave no file behind; wrong options are wrong usage")
    func refusals() throws {
        let workspace = try Workspace()
        let outcome = try workspace.run(
            "data", "generate", "arithmetic", "--output", "out", "--digits", "1", "--train", "5000")
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.errors.contains("fix:"), "\(outcome)")
        #expect(!workspace.has("out"))
        for wrong in [["--digits", "3-1"], ["--operations", "power"], ["--train", "-1"]] {
            let outcome = try ForjaProcess(
                ["data", "generate", "arithmetic", "--output", "out"] + wrong, in: workspace
            ).wait()
            #expect(outcome.status == 64, "\(outcome)")
        }
    }
}
