import ForjaTestSupport
import Foundation
import Testing

/// `--tensor-parallel`: what a user sees of ranks that share one model.
@Suite("Tensor parallelism of one process")
struct TensorMeshTests {
    /// Divides by two.
    static let model = [
        "model.heads=4", "model.key_value_heads=2", "tokenizer.train.kind=byte_bpe",
        "tokenizer.train.vocabulary_size=264",
    ]

    private func losses(_ run: String, in workspace: Workspace) -> [Double] {
        workspace.stepMetrics(run).compactMap(\.loss)
    }

    private func expectClose(
        _ seen: [Double], _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(seen.count == expected.count, sourceLocation: sourceLocation)
        for (a, b) in zip(seen, expected) {
            // Products are summed over ranks in another order than on one device.
            #expect(abs(a / b - 1) <= 1e-5, sourceLocation: sourceLocation)
        }
    }

    @Test(
        "a checkpoint of data 2 × tensor 2 goes on on one device, and back",
        arguments: TestedDevice.selectors)
    func resumesOnAnotherMesh(device: String) throws {
        let workspace = try Workspace()
        let straight = try workspace.train("straight", Self.model, device: device)
        #expect(straight.status == 0, "\(straight)")
        for (steps, data, tensor, zero) in [
            ("4", "2", "2", "1"), ("8", "1", "1", "1"), ("10", "1", "2", "0"),
            ("12", "2", "2", "0"),
        ] {
            let part = try workspace.train(
                "moved",
                Self.model + ["training.max_steps=\(steps)", "parallel.zero=\(zero)"],
                ["--data-parallel", data, "--tensor-parallel", tensor]
                    + (steps == "4" ? [] : ["--resume"]), device: device)
            #expect(part.status == 0, "\(part)")
        }
        expectClose(losses("moved", in: workspace), losses("straight", in: workspace))
        let validation = { (run: String) in
            workspace.stepMetrics(run).compactMap(\.validationLoss)
        }
        expectClose([validation("moved").last ?? 0], [validation("straight").last ?? 1])
    }

    @Test("two ranks score and generate what one device does", arguments: TestedDevice.selectors)
    func infersAlike(device: String) throws {
        let workspace = try Workspace()
        let trained = try workspace.train(
            "run", Self.model, ["--tensor-parallel", "2"], device: device)
        #expect(trained.status == 0, "\(trained)")
        func json(_ arguments: [String]) throws -> [String: Any] {
            let outcome = try ForjaProcess(
                arguments + ["--model", "run", "--device", device, "--json"], in: workspace
            ).wait()
            #expect(outcome.status == 0, "\(outcome)")
            return try #require(
                JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        }
        let score = ["score", "--ids", "1 2 3 4 5 6 7 8"]
        let scores = try [[], ["--tensor-parallel", "2"]].map {
            try json(score + $0)["logprobs"] as? [Any] ?? []
        }
        #expect(scores[0].count == 8 && scores[1].count == 8)
        for (a, b) in zip(scores[0].dropFirst(), scores[1].dropFirst()) {
            let (a, b) = (a as? Double ?? .nan, b as? Double ?? .nan)
            #expect(abs(a - b) <= 1e-4)
        }
        let generate = [
            "generate", "--prompt", "fox", "--max-tokens", "24", "--temperature", "0",
            "--samples", "2",
        ]
        let ids = try [[], ["--tensor-parallel", "2"]].map { more in
            let samples = try json(generate + more)["samples"] as? [[String: Any]] ?? []
            return samples.compactMap { $0["ids"] as? [Int] }
        }
        #expect(ids[0].count == 2 && ids[0] == ids[1])
    }

    @Test("a degree that does not divide is refused with those that do")
    func refusesBadDegree() throws {
        let workspace = try Workspace()
        let outcome = try workspace.train("run", Self.model, ["--tensor-parallel", "4"])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("parallel.tensor is 4"), "\(outcome)")
        #expect(outcome.errors.contains("set parallel.tensor to 1, 2"), "\(outcome)")
    }
}
