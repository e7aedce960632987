import ArgumentParser
import ForjaCore
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTraining
import Foundation

struct TuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune",
        abstract: "Finds the fastest kernels for a device.",
        discussion: """
            Times the kernel variants that can take part in a training step, on the shapes of that step: a recipe's, or
            those of the benchmark models. Each variant's results are compared with the CPU's first; a wrong one is
            reported and never chosen. What wins is kept for this device and driver in the user's cache, and later
            commands take it. A tuning changes speed and no result: only kernels that give the same bits are exchanged.

            Shapes measured before are left out, so an interrupted run goes on where it stopped.

              forja tune --device opencl:0
              forja tune recipes/quickstart.yaml --device opencl --again
            """)

    @Argument(help: "A recipe whose step to tune for; the benchmark models when absent.")
    var recipe: String?

    @Option(
        help: "Benchmark models to tune for: small, medium, smollm, llama-1b; may be given often.")
    var shape: [BenchShape] = [.small, .medium]

    @Option(help: "Type of weights' copies and activations, f32 or bf16; both when absent.")
    var dtype: ComputeType?

    @Flag(help: "Measures again what was measured before.")
    var again = false

    @Flag(help: "Print one JSON document.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    private struct Report: Encodable {
        struct Case: Encodable {
            struct Variant: Encodable {
                let variant: String
                let isDefault: Bool
                let milliseconds: Double?
                let rejected: String?
                /// Adds in another order, so that it may not take the default's place.
                let otherOrder: Bool

                enum CodingKeys: String, CodingKey {
                    case variant, rejected
                    case isDefault = "default"
                    case milliseconds = "ms"
                    case otherOrder = "other_order"
                }
            }

            let op: String
            let shape: String
            let shapeClass: String
            /// `nil` where the default stays.
            let chosen: String?
            let variants: [Variant]

            enum CodingKeys: String, CodingKey {
                case op, shape, chosen, variants
                case shapeClass = "shape_class"
            }
        }

        let device: String
        let platform: String
        let driver: String
        let file: String?
        var measured: [Case] = []
        /// Classes of shapes measured by an earlier run.
        var known = 0
    }

    func run() throws {
        let queue = try compute.open()
        let device = queue.device
        guard device.description.kind != .host else {
            Console.note("the host CPU has one kernel for each operation: nothing to tune")
            if json { try Console.json(report(of: device, file: nil)) }
            return
        }
        guard let store = TuningStore.user else {
            throw ForjaError(
                .unavailable, "there is no place for a tuning: neither HOME nor a cache is named",
                fix: "set FORJA_CACHE_DIR to a directory")
        }
        let path = store.path(for: device.description)
        var tuning = try knownTuning(in: store, for: device)
        let calls = try stepCalls(on: queue)
        // Forced variants and an older tuning have no part in what is measured.
        try device.setTuning(Tuning())
        let host = try Queue(device: .host(threadCount: compute.threads))
        var report = report(of: device, file: path)
        for (index, call) in calls.enumerated() {
            if !again, tuning[call] != nil {
                report.known += 1
                continue
            }
            let outcome = try Tuner().tune(call, on: queue, host: host)
            tuning.set(
                Tuning.Choice(
                    operation: call.operation, shapeClass: call.shapeClass,
                    variant: outcome.winner?.identifier,
                    seconds: outcome.winnerSeconds ?? outcome.defaultSeconds,
                    defaultSeconds: outcome.defaultSeconds))
            try store.save(tuning, for: device.description)
            report.measured.append(Self.case(call, outcome))
            Console.note("[\(index + 1)/\(calls.count)] \(Self.line(call, outcome))")
            if let signal = Interruption.received {
                throw ForjaError(
                    .interrupted, "\(signal): \(report.measured.count) shapes are in \(path)",
                    fix: "continue with the same command")
            }
        }
        if json {
            try Console.json(report)
            return
        }
        let gains = report.measured.count { $0.chosen != nil }
        Console.result(
            "\(report.measured.count) shapes measured, \(gains) with a faster kernel than the "
                + "default, \(report.known) known before; kept in \(path)")
    }

    private func report(of device: Device, file: String?) -> Report {
        Report(
            device: device.description.name, platform: device.description.platform,
            driver: device.description.driver, file: file)
    }

    /// What was measured before. A damaged file is written anew.
    private func knownTuning(
        in store: TuningStore, for device: Device
    ) throws(ForjaError) -> Tuning {
        do throws(ForjaError) {
            return try store.tuning(for: device.description)
        } catch {
            Console.note("tuning: \(error.message); it is written anew")
            return Tuning()
        }
    }

    /// The calls of the steps to tune for, one for each class of shapes.
    private func stepCalls(on queue: Queue) throws -> [VariantCall] {
        var engines: [TrainingEngine] = []
        if let recipe {
            let overrides = dtype.map { ["training.dtype=\($0.rawValue)"] } ?? []
            let recipe = try Recipe(contentsOf: recipe, overrides: overrides)
            let configuration = try recipe.plannedModel(observer: ConsoleObserver())
            engines.append(
                try TrainingEngine(
                    model: LlamaModel(
                        configuration, computeType: recipe.computeType,
                        positions: recipe.sequenceLength),
                    shape: recipe.stepShape, optimizer: recipe.optimizer, queue: queue))
        } else {
            for type in dtype.map({ [$0] }) ?? ComputeType.allCases {
                for shape in shape {
                    engines.append(try shape.engine(dtype: type, queue: queue))
                }
            }
        }
        var seen: Set<[String]> = []
        return engines.flatMap(\.scheduler.variantCalls).filter {
            seen.insert([$0.operation, $0.shapeClass]).inserted
        }
    }

    private static func `case`(_ call: VariantCall, _ outcome: Tuner.Outcome) -> Report.Case {
        Report.Case(
            op: call.operation, shape: call.shape, shapeClass: call.shapeClass,
            chosen: outcome.winner?.identifier,
            variants: outcome.measurements.map { measurement in
                let reason: String? =
                    if case .rejected(let reason) = measurement.verdict { reason } else { nil }
                return Report.Case.Variant(
                    variant: measurement.variant.identifier,
                    isDefault: measurement.variant.isDefault,
                    milliseconds: measurement.seconds.map { $0 * 1e3 }, rejected: reason,
                    otherOrder: measurement.verdict == .otherOrder)
            })
    }

    /// "matmul nt f32 f32 2048×768×256: cpu:8x32 8.1 ms, 12 % faster than cpu:12x32".
    private static func line(_ call: VariantCall, _ outcome: Tuner.Outcome) -> String {
        let usual = outcome.measurements.first { $0.variant.isDefault }
        let kind = call.shapeClass.split(separator: " ").prefix { !$0.hasPrefix("m") }
        var line = "\(call.operation) \(kind.joined(separator: " ")) \(call.shape): "
        if let winner = outcome.winner, let seconds = outcome.winnerSeconds,
            let usualSeconds = outcome.defaultSeconds
        {
            line += String(
                format: "%@ %.3g ms, %.0f %% faster than %@", winner.identifier, seconds * 1e3,
                (usualSeconds / seconds - 1) * 100, usual?.variant.identifier ?? "")
        } else {
            line += String(
                format: "%@ stays, %.3g ms", usual?.variant.identifier ?? "",
                (outcome.defaultSeconds ?? 0) * 1e3)
        }
        for measurement in outcome.measurements {
            if case .rejected(let reason) = measurement.verdict {
                line += "\n  rejected \(measurement.variant.identifier): \(reason)"
            }
        }
        return line
    }
}
