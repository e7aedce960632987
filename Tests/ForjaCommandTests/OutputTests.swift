import Foundation
import Testing

/// What commands print on standard output.
@Suite("Output")
struct OutputTests {
    @Test("max_steps 0 saves the start")
    func savesTheStart() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train("run", ["training.max_steps=0"])
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try workspace.entries("run/checkpoints") == ["step-0"])
        #expect(workspace.metrics("run").isEmpty)
        let score = try workspace.run(
            "score", "--model", "run", "--ids", "1 2 3", "--device", "cpu", "--json")
        #expect(score.status == 0, "\(score)")
    }

    @Test("train --json prints one document")
    func trainJSON() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train("run", ["training.max_steps=2"], ["--json"])
        #expect(outcome.status == 0, "\(outcome)")
        let document = try outcome.json()
        #expect(document["step"] as? Int == 2)
        #expect(document["run_dir"] as? String == "run")
        for key in ["validation_loss", "unigram_entropy", "seconds"] {
            #expect(document[key] is Double, "\(key)")
        }
    }

    @Test("devices --json lists the CPU last, and OpenCL where it is insisted on")
    func devicesJSON() throws {
        let document = try Workspace().run("devices", "--json").json()
        let devices = try #require(document["devices"] as? [[String: Any]])
        #expect(devices.last?["selector"] as? String == "cpu")
        for device in devices {
            #expect(device["name"] is String)
            #expect(device["kind"] is String)
            #expect(try #require(device["memory_bytes"] as? Int) > 0)
        }
        if ProcessInfo.processInfo.environment["FORJA_TEST_REQUIRE_OPENCL"] == "1" {
            #expect(devices.contains { $0["selector"] as? String == "opencl:0" })
        }
    }

    @Test("a probe that is skipped leaves its capability out")
    func skippedProbes() throws {
        let document = try Workspace().run(
            "devices", "--json", environment: ["FORJA_SKIP_PROBES": "nv_mma,fp64"]
        ).json()
        let devices = try #require(document["devices"] as? [[String: Any]])
        for device in devices where device["selector"] as? String != "cpu" {
            let capabilities = try #require(device["capabilities"] as? [String])
            #expect(!capabilities.contains("fp64"))
        }
    }

    @Test("plan --json has the keys that scripts read")
    func planJSON() throws {
        let workspace = try Workspace()
        let plan = try workspace.run("plan", "recipe.yaml", "--device", "cpu", "--json").json()
        for key in ["parameters", "flops_per_step", "peak_bytes"] {
            #expect(try #require(plan[key] as? Double, "\(key)") > 0)
        }
        #expect(plan["communication_bytes_per_step"] as? Int == 0)
        #expect(plan["tokens_per_step"] as? Int == 64)
        #expect(plan["fits"] as? Bool == true)
    }

    @Test("the same seed gives the same text, and a stream the text of the document")
    func generation() throws {
        let workspace = try Workspace.trained.get()
        func generate(_ more: String...) throws -> ForjaProcess.Outcome {
            let outcome = try ForjaProcess(
                ["generate", "--model", "run", "--prompt", "fox", "--max-tokens", "24"]
                    + ["--device", "cpu"] + more, in: workspace
            ).wait()
            #expect(outcome.status == 0, "\(outcome)")
            return outcome
        }
        let drawn = try generate("--seed", "7", "--samples", "2", "--json")
        #expect(try generate("--seed", "7", "--samples", "2", "--json").output == drawn.output)
        #expect(try generate("--seed", "8", "--samples", "2", "--json").output != drawn.output)
        let document = try drawn.json()
        #expect(Set(document.keys) == ["prompt_ids", "samples"])
        #expect((document["prompt_ids"] as? [Int])?.count == 3)
        let samples = try #require(document["samples"] as? [[String: Any]])
        #expect(samples.map { ($0["ids"] as? [Int])?.count } == [24, 24])
        #expect(samples[0]["text"] as? String != samples[1]["text"] as? String)

        let streamed = try generate("--temperature", "0").output
        let greedy = try generate("--temperature", "0", "--json").json()
        let text = try #require((greedy["samples"] as? [[String: Any]])?.first?["text"] as? String)
        #expect(streamed == "fox" + text + "\n")
    }

    @Test("the first token has no log-probability")
    func scores() throws {
        let workspace = try Workspace.trained.get()
        func score(_ ids: String) throws -> String {
            try workspace.run(
                "score", "--model", "run", "--ids", ids, "--device", "cpu", "--json"
            ).output
        }
        #expect(try score("3") == "{\"ids\":[3],\"logprobs\":[null]}\n")
        let document = try JSONSerialization.jsonObject(with: Data(score("3 1 4").utf8))
        let values = try #require((document as? [String: Any])?["logprobs"] as? [Any])
        #expect(values.count == 3)
        #expect(values[0] is NSNull)
        #expect(values.dropFirst().allSatisfy { ($0 as? Double).map { $0 < 0 } ?? false })
    }
}
