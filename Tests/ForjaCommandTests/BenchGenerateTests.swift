import ForjaTestSupport
import Testing

@Suite("bench generate")
struct BenchGenerateTests {
    @Test("reports every key of the contract", arguments: TestedDevice.selectors)
    func keys(device: String) throws {
        let outcome = try Workspace().run(
            "bench", "generate", "--shape", "small", "--batch", "2", "--repeats", "1", "--profile",
            "--device", device, "--json")
        #expect(outcome.status == 0, "\(outcome)")
        let report = try outcome.json()
        #expect(report["shape"] as? String == "small")
        #expect(report["dtype"] as? String == "f32")
        #expect(report["batch"] as? Int == 2)
        #expect(report["prompt_tokens"] as? Int == 64)
        #expect(report["new_tokens"] as? Int == 48)
        // C 256, F 768, V 4096: six layers of 256 · 512 + 256 · 256 + 3 · 256 · 768, and the head.
        let weights = 6 * (256 * 512 + 256 * 256 + 3 * 256 * 768) + 4096 * 256
        #expect(report["weight_bytes"] as? Int == 4 * weights)
        for key in [
            "prefill_s", "decode_tokens_per_s", "copy_bytes_per_s", "fraction_of_memory_limit",
            "threads", "peak_bytes",
        ] {
            #expect((report[key] as? Double ?? 0) > 0, "\(key)")
        }
        let operations = try #require(report["operations"] as? [[String: Any]])
        #expect(operations.contains { $0["name"] as? String == "head.logits" })
    }

    @Test("refuses a batch of nothing")
    func refusal() throws {
        #expect(try Workspace().run("bench", "generate", "--batch", "0").status == 64)
    }
}
