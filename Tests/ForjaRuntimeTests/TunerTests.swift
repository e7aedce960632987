import ForjaCore
import ForjaRuntime
import ForjaTestSupport
import Testing

/// Variants with made-up results and times.
private final class FakeBench: TuningBench {
    struct Entry {
        let variant: KernelVariant
        var results: [Float] = [1, 2, 3]
        var seconds = 1.0
        /// Of the first round, where it differs.
        var secondsAtFirst: Double?
        /// Fails instead of giving results.
        var failure: String?
    }

    let entries: [Entry]
    private var measured: Set<KernelVariant> = []

    init(entries: [Entry]) { self.entries = entries }

    func variants() -> [KernelVariant] { entries.map(\.variant) }

    func expected() -> (values: [Float], slacks: [Float]) {
        ([1, 2, 3], [0.001, 0.001, 0.001])
    }

    func results(with variant: KernelVariant) throws(ForjaError) -> [Float] {
        let entry = entries.first { $0.variant == variant }!
        if let failure = entry.failure { throw ForjaError(.device, failure) }
        return entry.results
    }

    func seconds(with variant: KernelVariant) -> Double {
        let entry = entries.first { $0.variant == variant }!
        let isFirst = measured.insert(variant).inserted
        return isFirst ? entry.secondsAtFirst ?? entry.seconds : entry.seconds
    }
}

private func variant(
    _ name: String, order: String = "ascending", isDefault: Bool = false
) -> KernelVariant {
    KernelVariant(identifier: name, order: order, isDefault: isDefault)
}

@Suite("Tuner")
struct TunerTests {
    private static let preferred = FakeBench.Entry(
        variant: variant("cpu:12x32", isDefault: true), seconds: 1)

    private func tune(_ entries: FakeBench.Entry...) throws -> Tuner.Outcome {
        try Tuner().tune(FakeBench(entries: [Self.preferred] + entries))
    }

    @Test("takes the fastest variant that gives the default's bits")
    func takesFastest() throws {
        let outcome = try tune(
            .init(variant: variant("a"), seconds: 0.9), .init(variant: variant("b"), seconds: 0.5),
            .init(variant: variant("c"), seconds: 2))
        #expect(outcome.winner?.identifier == "b")
        #expect(outcome.winnerSeconds == 0.5)
        #expect(outcome.defaultSeconds == 1)
    }

    @Test(
        "rejects a planted wrong variant, however fast",
        arguments: [[1, 2, 3.5], [.nan, 2, 3], [.infinity, 2, 3], [1, 2]] as [[Float]])
    func rejectsWrong(results: [Float]) throws {
        let outcome = try tune(
            .init(variant: variant("wrong"), results: results, seconds: 0.001),
            .init(variant: variant("right"), seconds: 0.8))
        #expect(outcome.winner?.identifier == "right")
        let wrong = outcome.measurements[1]
        #expect(wrong.seconds == nil)
        guard case .rejected(let reason) = wrong.verdict else {
            Issue.record("verdict is \(wrong.verdict)")
            return
        }
        #expect(reason.contains("result"))
    }

    @Test("rejects a variant whose bits are not those its order promises")
    func rejectsOtherBits() throws {
        let outcome = try tune(
            .init(variant: variant("close"), results: [1, 2.0001, 3], seconds: 0.1))
        #expect(outcome.winner == nil)
        #expect(
            outcome.measurements[1].verdict
                == .rejected(
                    "1 of 3 results differ in bits from cpu:12x32, which adds in the same order"))
    }

    @Test("measures a variant of another order and does not take it")
    func passesOverOtherOrder() throws {
        let outcome = try tune(
            .init(variant: variant("lanes", order: "lanes"), results: [1, 2.0001, 3], seconds: 0.1))
        #expect(outcome.winner == nil)
        #expect(outcome.measurements[1].verdict == .otherOrder)
        #expect(outcome.measurements[1].seconds == 0.1)
    }

    @Test("rejects a variant that fails")
    func rejectsFailure() throws {
        let outcome = try tune(.init(variant: variant("a"), seconds: 0.1, failure: "no room"))
        #expect(outcome.winner == nil)
        #expect(outcome.measurements[1].verdict == .rejected("no room"))
    }

    @Test("keeps the default where the gain is noise")
    func keepsDefaultForNoise() throws {
        #expect(try tune(.init(variant: variant("a"), seconds: 0.98)).winner == nil)
        #expect(try tune(.init(variant: variant("a"), seconds: 0.96)).winner != nil)
    }

    @Test("one quiet moment makes no winner")
    func needsMostRounds() throws {
        let outcome = try tune(.init(variant: variant("a"), seconds: 1.1, secondsAtFirst: 0.5))
        #expect(outcome.winner == nil)
        #expect(outcome.measurements[1].seconds == 0.5)
    }

    @Test("says so when the default itself is wrong")
    func reportsWrongDefault() throws {
        let bench = FakeBench(entries: [
            .init(variant: variant("cpu:12x32", isDefault: true), results: [1, 2, 4])
        ])
        #expect {
            try Tuner().tune(bench)
        } throws: { error in
            (error as? ForjaError)?.message
                == "the default variant cpu:12x32 is wrong: result 2 is 4.0, expected 3.0 ± 0.001"
        }
    }
}

@Suite("Tuning a device", .serialized)
struct DeviceTuningTests {
    private static var devices: [TestedDevice] {
        TestedDevice.all.filter { if case .openCL = $0 { true } else { false } }
    }

    /// A small product, and attention forward and backward, recorded as a step would.
    private func calls(on queue: Queue, dtype: DType) throws -> [VariantCall] {
        let graph = StepGraph()
        let tensor = { (name: String, shape: [Int], dtype: DType) in
            graph.tensor(Variable(name: name, shape: Shape(shape), dtype: dtype))
        }
        for layout in [MatmulLayout.nn, .nt, .tn] {
            let (m, n, k) = (70, 90, 40)
            graph.recordMatmul(
                layout, a: tensor("a", layout == .tn ? [k, m] : [m, k], dtype),
                b: tensor("b", layout == .nt ? [n, k] : [k, n], dtype),
                c: tensor("c", [m, n], .float32))
        }
        let geometry = AttentionGeometry(
            batch: 2, queryLength: 40, heads: 4, keyValueHeads: 2, headWidth: 16)
        let rows = geometry.batch * geometry.queryLength
        let fused = tensor("fused", [rows, geometry.fusedWidth], dtype)
        let out = tensor("out", [rows, geometry.outputWidth], dtype)
        let lse = tensor("lse", [geometry.batch, geometry.heads, geometry.queryLength], .float32)
        graph.recordAttentionForward(
            geometry, fused: fused, out: out, lse: lse, documentStart: nil)
        graph.recordAttentionBackward(
            geometry, fused: fused, out: out, lse: lse, documentStart: nil,
            outputGradient: tensor("dOut", [rows, geometry.outputWidth], dtype),
            fusedGradient: tensor("dFused", [rows, geometry.fusedWidth], dtype))
        let scheduler = Scheduler(queue: queue)
        _ = try scheduler.add(graph)
        return scheduler.variantCalls
    }

    @Test(
        "finds every variant right, forward and backward", arguments: devices,
        [DType.float32, .bfloat16])
    func findsEveryVariantRight(device: TestedDevice, dtype: DType) throws {
        let queue = try device.queue()
        let host = try TestedDevice.host.queue()
        let calls = try calls(on: queue, dtype: dtype)
        #expect(
            Set(calls.map(\.operation)) == ["matmul", "attention_forward", "attention_backward"])
        for call in calls {
            let outcome = try Tuner().tune(call, on: queue, host: host)
            for measurement in outcome.measurements {
                if case .rejected(let reason) = measurement.verdict {
                    Issue.record(
                        "\(call.operation) \(call.shape) \(measurement.variant): \(reason)")
                }
            }
            #expect(try call.variant(on: queue.device).isDefault, "nothing stays forced")
        }
    }

    @Test("a choice is taken, kept on disk and found again", arguments: devices)
    func keepsChoices(device: TestedDevice) throws {
        let queue = try device.queue()
        let call = try #require(try calls(on: queue, dtype: .float32).first)
        let usual = try call.variant(on: queue.device)
        let other = try #require(
            call.variants(on: queue.device).last {
                $0.isMadeForDevice && !$0.isDefault && $0.order == usual.order
            })
        let tuning = Tuning(choices: [
            Tuning.Choice(
                operation: call.operation, shapeClass: call.shapeClass,
                variant: other.identifier)
        ])
        let directory = try TemporaryDirectory()
        let store = TuningStore(directory: directory.file("tuning"))
        let description = queue.device.description
        #expect(try store.tuning(for: description) == Tuning())
        try store.save(tuning, for: description)
        #expect(try store.tuning(for: description) == tuning)

        try queue.device.setTuning(store.tuning(for: description))
        #expect(try call.variant(on: queue.device) == other)
        let choices = queue.device.kernelChoices
        #expect(choices.tuning == tuning)
        try queue.device.setTuning(Tuning())
        #expect(try call.variant(on: queue.device) == usual)
        try queue.device.restore(choices)
        #expect(try call.variant(on: queue.device) == other)

        // Another driver's and another kernel's times say nothing here.
        var updated = description
        updated.driver += " updated"
        #expect(try store.tuning(for: updated) == Tuning())
    }

    @Test("a damaged file is named", arguments: devices)
    func namesDamagedFile(device: TestedDevice) throws {
        let description = try device.queue().device.description
        let directory = try TemporaryDirectory()
        let store = TuningStore(directory: directory.path)
        try store.save(Tuning(), for: description)
        try "{\"format\": 1".write(
            toFile: store.path(for: description), atomically: true, encoding: .utf8)
        #expect {
            try store.tuning(for: description)
        } throws: { error in
            (error as? ForjaError)?.message.contains("cannot be read as a tuning") ?? false
        }
    }

    @Test("the user's choices go before others")
    func mergesByClass() {
        func choice(_ shapeClass: String, _ variant: String?) -> Tuning.Choice {
            Tuning.Choice(operation: "matmul", shapeClass: shapeClass, variant: variant)
        }
        let user = Tuning(choices: [choice("a", "x"), choice("b", nil)])
        let shipped = Tuning(choices: [choice("b", "y"), choice("c", "z")])
        #expect(
            Set(user.merging(shipped).choices)
                == [choice("a", "x"), choice("b", nil), choice("c", "z")])
    }
}
