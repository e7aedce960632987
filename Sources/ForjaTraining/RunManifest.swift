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

    static func write(
        to run: RunDirectory, recipe: Recipe, data: TrainingData, engine: TrainingEngine,
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
