import ForjaTestSupport
import Foundation
import Testing

/// `forja bench kernels`: what its document holds. How fast anything is, no test says.
@Suite("Kernel benchmark", .serialized)
struct BenchKernelsTests {
    private static let keys: Set<String> = [
        "op", "shape", "dtype", "variant", "ms", "flops_per_s", "bytes_per_s", "fraction_of_peak",
        "error", "calls_per_step", "copy_bytes_per_s", "openblas_ms",
    ]

    private func bench(_ arguments: [String]) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            ["bench", "kernels", "--seconds-per-row", "0"] + arguments, in: Workspace()
        ).wait()
    }

    private func rows(_ arguments: [String]) throws -> [[String: Any]] {
        let outcome = try bench(arguments + ["--json"])
        try #require(outcome.status == 0, "\(outcome)")
        let document = try outcome.json()
        #expect(document["device"] is String)
        #expect(document["threads"] is Int)
        let peaks = try #require(document["peaks"] as? [String: Double])
        #expect(Set(peaks.keys) == ["flops_per_s", "bytes_per_s"])
        #expect(peaks.values.allSatisfy { $0 > 0 })
        return try #require(document["rows"] as? [[String: Any]])
    }

    @Test("every operation of a step has a row with every key and a small error")
    func hasEveryOperation() throws {
        let rows = try rows(["--shape", "small", "--device", "cpu"])
        #expect(
            Set(rows.compactMap { $0["op"] as? String }) == [
                "matmul", "attention_forward", "attention_backward", "embedding_forward",
                "embedding_backward", "rmsnorm_forward", "rmsnorm_backward", "rope_forward",
                "rope_backward", "swiglu_forward", "swiglu_backward", "softmax_forward",
                "softmax_backward", "log_probability", "add", "cast", "sum", "sum_squares",
                "gradient_norm", "adamw",
            ])
        for row in rows {
            #expect(Set(row.keys) == Self.keys, "\(row)")
            #expect(try #require(row["ms"] as? Double) > 0)
            // One rate and not the other.
            #expect((row["flops_per_s"] is Double) != (row["bytes_per_s"] is Double), "\(row)")
            #expect(row["variant"] as? String == "host")
            // A rounding to bf16 is 2⁻⁸; everything else sums in float32.
            let bound = row["op"] as? String == "cast" ? 0x1p-8 : 1e-5
            #expect(try #require(row["error"] as? Double) <= bound, "\(row)")
            #expect((row["openblas_ms"] is Double) == (row["op"] as? String == "matmul"), "\(row)")
        }
    }

    /// Products of the small step by hand: 2048 rows of 256 through qkv (512), output (256), gate and up
    /// (1536), down (768 → 256), and the head (4096) in chunks of 1024.
    @Test("products are those of the step")
    func productsAreTheSteps() throws {
        let rows = try rows(["--shape", "small", "--device", "cpu", "--op", "matmul"])
        let counts = Dictionary(
            uniqueKeysWithValues: rows.map {
                ($0["shape"] as! String, $0["calls_per_step"] as! Int)
            })
        #expect(
            counts == [
                "nt 2048x512x256": 6, "nn 2048x256x512": 6, "tn 512x256x2048": 6,
                "nt 2048x256x256": 6, "nn 2048x256x256": 6, "tn 256x256x2048": 6,
                "nt 2048x1536x256": 6, "nn 2048x256x1536": 6, "tn 1536x256x2048": 6,
                "nt 2048x256x768": 6, "nn 2048x768x256": 6, "tn 256x768x2048": 6,
                "nt 1024x4096x256": 2, "nn 1024x256x4096": 2, "tn 4096x256x1024": 1,
                "tn 4096x256x1024 +=": 1,
            ])
        for row in rows {
            let sizes = try #require(row["shape"] as? String).split(separator: " ")[1]
                .split(separator: "x").compactMap { Double($0) }
            let flops = 2 * sizes.reduce(1, *)
            let (ms, rate) = (row["ms"] as! Double, row["flops_per_s"] as! Double)
            #expect(abs(rate * ms * 1e-3 / flops - 1) < 1e-9, "\(row)")
        }
    }

    @Test("a product by its sizes comes in every layout", arguments: TestedDevice.selectors)
    func products(device: String) throws {
        let rows = try rows(
            ["--device", device, "--dtype", "bf16", "--product", "40x72x96", "--product", "8x8x8"])
        #expect(
            rows.compactMap { $0["shape"] as? String } == [
                "nt 40x72x96", "nn 40x72x96", "tn 40x72x96", "nt 8x8x8", "nn 8x8x8", "tn 8x8x8",
            ])
        for row in rows {
            #expect(row["calls_per_step"] as? Int == 0)
            #expect(try #require(row["error"] as? Double) <= 0x1p-8, "\(row)")
        }
    }

    @Test("bf16 stays within its rounding", arguments: TestedDevice.selectors)
    func bf16(device: String) throws {
        let rows = try rows(
            ["--device", device, "--dtype", "bf16", "--op", "rmsnorm", "--op", "swiglu"])
        #expect(rows.count >= 4)
        for row in rows {
            #expect(row["dtype"] as? String == "bf16")
            #expect(try #require(row["error"] as? Double) <= 0x1p-7, "\(row)")
        }
    }

    @Test("attention by name comes at every length", arguments: TestedDevice.selectors)
    func attentionLengths(device: String) throws {
        let rows = try rows(["--device", device, "--op", "attention_forward"])
        for length in [256, 512, 1024, 2048, 4096] {
            let row = try #require(
                rows.first { $0["shape"] as? String == "b1 h8 g4 t\(length) d64" })
            #expect(try #require(row["error"] as? Double) <= 1e-5, "\(row)")
            #expect(row["calls_per_step"] as? Int == 0)
        }
    }

    @Test("the table closes with a line for each operation")
    func tableHasSummaries() throws {
        let outcome = try bench(["--device", "cpu", "--op", "add", "--op", "gradient_norm"])
        #expect(outcome.status == 0, "\(outcome)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 4, "\(outcome)")
        #expect(lines.last?.hasPrefix("gradient_norm, 1 row, geometric mean: ") == true)
        #expect(outcome.errors.contains("of multiply-adds"))
    }

    @Test("wrong arguments say what would be right")
    func wrongArguments() throws {
        let unknown = try bench(["--device", "cpu", "--op", "matmull"])
        #expect(unknown.status == 1, "\(unknown)")
        #expect(unknown.errors.contains("no operation's name starts with \"matmull\""))
        #expect(unknown.errors.contains("matmul, rmsnorm_backward"))
        for wrong in [
            ["--shape", "huge"], ["--dtype", "f64"], ["--seconds-per-row=-1"],
            ["--product", "8x8"], ["--product", "8x0x8"],
        ] {
            let outcome = try bench(wrong)
            #expect(outcome.status == 64, "\(outcome)")
            #expect(outcome.errors.contains(wrong.last!.split(separator: "=").last!), "\(outcome)")
        }
    }
}
