import ForjaTestSupport
import Foundation
import Testing

/// `forja plan --nodes`, and the figures of docs/cluster-simulator.md.
@Suite("Cluster plan")
struct ClusterPlanTests {
    static let root = URL(fileURLWithPath: fixture("../..")).standardizedFileURL.path
    static let page = try! String(
        contentsOfFile: root + "/docs/cluster-simulator.md", encoding: .utf8)

    /// The page's commands: lines that start with `forja plan`, joined where they end in a backslash.
    static let commands: [String] = page.replacingOccurrences(of: "\\\n", with: " ")
        .split(separator: "\n").map(String.init).filter { $0.hasPrefix("forja plan ") }

    /// Rows of the table of published runs, whose first cell is a number: command, run, unit, published, simulated, error.
    static let rows: [[String]] = page.split(separator: "\n").compactMap { line in
        let cells = line.split(separator: "|", omittingEmptySubsequences: true)
            .map { $0.trimmingCharacters(in: .whitespaces) }
        return cells.count == 6 && Int(cells[0]) != nil ? cells : nil
    }

    func run(_ command: String) throws -> [String: Any] {
        let words = command.split(separator: " ").dropFirst().map { word in
            ["recipes/", "Benchmarks/"].contains { word.hasPrefix($0) }
                ? "\(Self.root)/\(word)" : String(word)
        }
        let outcome = try ForjaProcess(words + ["--json"], in: Workspace()).wait()
        try #require(outcome.status == 0, "\(command)\n\(outcome)")
        return try outcome.json()
    }

    func number(_ text: String) throws -> Double {
        let plain = text.replacingOccurrences(of: ",", with: "")
            .replacingOccurrences(of: "−", with: "-").replacingOccurrences(of: " %", with: "")
        return try #require(Double(plain), "\(text)")
    }

    @Test("every published run comes out as the page says", arguments: rows)
    func publishedRuns(row: [String]) throws {
        let command = try #require(Self.commands.dropFirst(Int(row[0])! - 1).first)
        let document = try run(command)
        let simulated: Double
        switch row[2] {
        case "TFLOP/s": simulated = document["model_flops_per_s_per_device"] as! Double / 1e12
        case "tokens/s": simulated = document["tokens_per_s_per_device"] as! Double
        case "GiB": simulated = document["peak_bytes"] as! Double / 1_073_741_824
        default:
            Issue.record("unknown unit \(row[2])")
            return
        }
        let (published, stated, error) = (
            try number(row[3]), try number(row[4]), try number(row[5])
        )
        let unit = row[4].contains(".") ? 0.1 : 1
        #expect(abs(simulated - stated) <= unit * 0.51, "\(command): \(simulated)")
        #expect(abs(100 * (simulated / published - 1) - error) <= 0.06, "\(command): \(simulated)")
    }

    @Test("the page shows every run")
    func pageIsWhole() {
        #expect(Self.rows.count >= 7)
        #expect(Self.commands.count >= 6)
    }

    @Test("JSON has the keys that readers rely on")
    func json() throws {
        let document = try run(
            "forja plan recipes/cluster/llama3-8b.yaml --nodes 1 --zero 3 "
                + "--device-profile Benchmarks/profiles/h100-sxm.json --token-budget 1e12")
        for key in [
            "step_s", "tokens_per_s", "tokens_per_s_per_device", "model_flops_per_s_per_device",
            "mfu", "idle_fraction", "peak_bytes", "device_memory_bytes", "tokens_per_step",
            "flops_per_step", "communication_bytes_per_step", "parameters",
        ] {
            #expect(document[key] is Double, "\(key)")
        }
        #expect(document["devices"] as? Int == 8)
        #expect(document["fits"] is Bool)
        let mesh = try #require(document["mesh"] as? [String: Int])
        #expect(
            mesh == ["data": 8, "tensor": 1, "context": 1, "pipeline": 1, "virtual_stages": 1])
        let memory = try #require(document["memory"] as? [String: Double])
        #expect(
            abs(memory.values.reduce(0, +) / (document["peak_bytes"] as! Double) - 1) < 1e-9)
        let run = try #require(document["run"] as? [String: Double])
        for key in [
            "token_budget", "days", "effective_fraction", "effective_tokens_per_s",
            "mean_time_between_stops_s", "stops", "checkpoint_s", "checkpoint_interval_s",
        ] {
            #expect(run[key] != nil, "\(key)")
        }
        #expect(run["token_budget"] == 1e12)
        let days = 1e12 / run["effective_tokens_per_s"]! / 86_400
        #expect(abs(run["days"]! / days - 1) < 1e-9)
    }

    @Test("--link-gbps and --set parallel.* reach the simulation")
    func overrides() throws {
        let base =
            "forja plan recipes/cluster/llama3-8b.yaml --nodes 2 --zero 3 --set parallel.data=16 "
            + "--set training.batch_size_sequences=32 "
            + "--device-profile Benchmarks/profiles/h100-sxm.json"
        let slow = try run(base + " --link-gbps 50")
        let fast = try run(base + " --link-gbps 400")
        #expect(slow["step_s"] as! Double > fast["step_s"] as! Double)
        #expect((fast["mesh"] as? [String: Int])?["data"] == 16)
    }

    @Test(
        "wrong use is refused with a remedy",
        arguments: [
            (["--nodes", "1"], 64, "go together"),
            (["--pipeline-parallel", "2"], 64, "need --nodes"),
            (["--nodes", "2", "--device-profile", "PROFILE"], 1, "set parallel.data to 16"),
            (["--nodes", "1", "--device-profile", "none.json"], 1, "cannot be read"),
            (["--nodes", "1", "--device-profile", "PROFILE", "--zero", "2"], 64, "--zero"),
            (
                ["--nodes", "1", "--device-profile", "PROFILE", "--dtype", "f32"], 1,
                "no rates for f32"
            ),
        ])
    func refusals(arguments: [String], status: Int, text: String) throws {
        let profile = Self.root + "/Benchmarks/profiles/h100-sxm.json"
        let outcome = try ForjaProcess(
            ["plan", Self.root + "/recipes/cluster/llama3-8b.yaml"]
                + arguments.map { $0 == "PROFILE" ? profile : $0 }, in: Workspace()
        ).wait()
        #expect(outcome.status == Int32(status), "\(outcome)")
        #expect(outcome.errors.contains(text), "\(outcome)")
    }

    @Test("plan without --nodes answers for one rank of the recipe's mesh")
    func meshWithoutCluster() throws {
        let outcome = try ForjaProcess(
            ["plan", Self.root + "/recipes/cluster/llama3-8b.yaml"], in: Workspace()
        ).wait()
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.contains("one rank of data 8 × tensor 1"), "\(outcome)")
    }
}
