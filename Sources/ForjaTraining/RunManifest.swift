import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaRuntime
import Foundation

/// `manifest.json`: what a run was made with, so that it can be repeated and its bits expected.
enum RunManifest {
    private struct Manifest: Encodable {
        let name: String
        let build: [String: String]
        let kernels: KernelChoices
        let parameters: Int
        let plannedBytes: Int
        let data: [String: String]
        let steps: Int
        let seconds: Double

        enum CodingKeys: String, CodingKey {
            case name, build, kernels, parameters, data, steps, seconds
            case plannedBytes = "planned_bytes"
        }
    }

    /// What bits depend on: kernels, BLAS, device, driver, threads.
    static func build(_ device: Device) -> [String: String] {
        [
            "kernels": Device.kernelsHash, "blas": Device.blasDescription,
            "device": device.description.name, "platform": device.description.platform,
            "driver": device.description.driver,
            "threads": "\(device.description.threadCount)",
        ]
    }

    /// Refuses data whose contents are not those that the run began with; where they lie does not matter.
    ///
    /// - Throws: `.invalidInput` naming the recipe's key and both SHA-256; `.damagedFile` when a run that has
    ///   checkpoints has no manifest to compare with.
    static func checkContents(
        of data: any StageData, recipe: Recipe, in run: RunDirectory
    ) throws(ForjaError) {
        struct Stored: Decodable {
            let data: [String: String]
        }
        let path = run.file("manifest.json")
        let stored = FileManager.default.contents(atPath: path).flatMap {
            try? JSONDecoder().decode(Stored.self, from: $0)
        }
        guard let stored else {
            // A run that saved nothing starts from the beginning, with whatever data it is given.
            guard !run.checkpointSteps.isEmpty else { return }
            throw ForjaError(
                .damagedFile,
                "\(path) cannot be read, so that the run's data cannot be told from other data",
                fix: "put the run's manifest.json back, or start a new run directory")
        }
        for (part, key) in [
            ("train", "data.train"), ("validation", "data.validation"),
            ("tokenizer", recipe.tokenizerKey), ("start", "model.from"),
            ("chat_template", "data.chat_template"),
        ] {
            let (seen, expected) = (data.hashes[part], stored.data[part])
            guard seen == expected else {
                let shown = { (hash: String?) in hash.map { "\($0.prefix(12))…" } ?? "none" }
                throw ForjaError(
                    .invalidInput,
                    "\(key) has other contents than the run began with: SHA-256 \(shown(seen)), "
                        + "\(path) has \(shown(expected))",
                    fix: "give the run's own files, from wherever they are, or start a new run "
                        + "directory")
            }
        }
    }

    /// Seconds that the run had taken when its manifest was last written; 0 without one.
    static func secondsSpent(in run: RunDirectory) -> Double {
        struct Stored: Decodable {
            let seconds: Double
        }
        let stored = FileManager.default.contents(atPath: run.file("manifest.json")).flatMap {
            try? JSONDecoder().decode(Stored.self, from: $0)
        }
        return stored?.seconds ?? 0
    }

    static func write(
        to run: RunDirectory, recipe: Recipe, data: any StageData, engine: TrainingEngine,
        secondsSpent: Double, step: Int
    ) throws(ForjaError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let manifest = Manifest(
            name: recipe.name, build: build(engine.queue.device),
            kernels: engine.queue.device.kernelChoices,
            parameters: engine.model.configuration.parameterCount,
            plannedBytes: engine.plannedByteCount, data: data.hashes, steps: step,
            seconds: secondsSpent)
        guard let json = try? encoder.encode(manifest) else {
            preconditionFailure("a manifest of numbers and texts encodes")
        }
        try AtomicFile.write(
            String(decoding: json, as: UTF8.self) + "\n", to: run.file("manifest.json"))
    }
}
