import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaNN
import ForjaRuntime
import ForjaTestSupport
import Foundation
import Testing

/// A tiny Llama against what PyTorch computed for the same weights (Tests/Fixtures/llama).
@Suite("Llama against PyTorch", .serialized)
struct LlamaGoldenTests {
    static let models = ["tied", "untied-wide-heads"]

    struct Golden {
        let file: SafetensorsFile
        let directory: String
        /// Mean over labels, whole rows and packed documents.
        let loss: Float
        let packedLoss: Float

        init(_ name: String) throws {
            directory = fixture("llama/\(name)")
            file = try SafetensorsFile(contentsOf: directory + "/golden.safetensors")
            let json = try JSONSerialization.jsonObject(
                with: Data(contentsOf: URL(fileURLWithPath: directory + "/golden.json")))
            let members = try #require(json as? [String: Any])
            loss = try #require(members["loss"] as? NSNumber).floatValue
            packedLoss = try #require(members["packed_loss"] as? NSNumber).floatValue
        }

        func floats(_ name: String) throws -> [Float] {
            try file.withUnsafeBytes(of: name) { Array($0.bindMemory(to: Float.self)) }
        }

        func integers(_ name: String) throws -> [Int32] {
            try file.withUnsafeBytes(of: name) { Array($0.bindMemory(to: Int32.self)) }
        }
    }

    /// Logits, summed loss over labels, and every gradient of the mean loss by Hugging Face name.
    struct Outcome {
        var logits: [Float]
        var meanLoss: Float
        var gradients: [String: [Float]]
    }

    static func run(
        _ golden: Golden, labels: [Int32], documentStart: [Int32]?, device: TestedDevice,
        computeType: DType, recompute: StepGraph.RecomputePolicy = .none,
        chunking: HeadChunking? = nil
    ) throws -> Outcome {
        let queue = try device.queue()
        let directory = try ModelDirectory(golden.directory)
        let shape = try golden.file.tensor(named: "ids").shape
        let (batch, length) = (shape[0], shape[1])
        let model = LlamaModel(
            directory.configuration, computeType: computeType, positions: length)
        try model.load(from: directory.safetensors(), on: queue)
        let count = batch * length
        let c = directory.configuration
        let tokens = Variable(name: "tokens", shape: [count], dtype: .int32)
        let labelIDs = Variable(name: "labels", shape: [count], dtype: .int32)
        let starts = Variable(name: "starts", shape: [count], dtype: .int32)
        let weights = Variable(name: "weights", shape: [count], dtype: .float32)
        let logProbability = Variable(name: "log p", shape: [count], dtype: .float32)
        let logits = Variable(name: "logits", shape: [count, c.vocabularySize], dtype: .float32)
        let gradients = model.parameters.map {
            Variable(name: "gradient", shape: $0.shape, dtype: .float32)
        }

        let graph = StepGraph(recompute: recompute)
        for (parameter, gradient) in zip(model.parameters, gradients) {
            graph.collectGradient(of: graph.tensor(parameter.compute), in: gradient)
        }
        let hidden = try model.hidden(
            in: graph, tokens: graph.tensor(tokens), batch: batch,
            source: .sequences(
                length: length, documentStart: documentStart == nil ? nil : graph.tensor(starts)))
        try graph.logits(hidden: hidden, weight: graph.tensor(model.head.compute), into: logits)
        let result = try graph.labelLogProbability(
            hidden: hidden, weight: graph.tensor(model.head.compute),
            labels: graph.tensor(labelIDs), gradient: graph.tensor(weights), chunking: chunking)
        graph.copy(result, into: logProbability)
        try graph.backward()
        let scheduler = Scheduler(queue: queue)
        let id = try scheduler.add(graph)
        try scheduler.prepare()

        let valid = labels.count { $0 >= 0 }
        try tokens.write(golden.integers("ids"), on: queue)
        try labelIDs.write(labels, on: queue)
        if let documentStart { try starts.write(documentStart, on: queue) }
        try weights.write(
            [Float](repeating: -1 / Float(valid), count: count), on: queue)
        try scheduler.run(id)

        let sum = try logProbability.read(Float.self, on: queue).reduce(0) { $0 + Double($1) }
        var byName: [String: [Float]] = [:]
        let values = try Dictionary(
            uniqueKeysWithValues: zip(model.parameters, gradients).map {
                ($0.name, try $1.read(Float.self, on: queue))
            })
        for piece in LlamaCheckpointMap(model).pieces {
            let all = values[piece.parameter.name]!
            byName[piece.name] = Array(
                all[piece.offset..<(piece.offset + piece.shape.elementCount)])
        }
        return Outcome(
            logits: try logits.read(Float.self, on: queue), meanLoss: Float(-sum / Double(valid)),
            gradients: byName)
    }

    @Test(
        "logits, loss and every gradient are PyTorch's in float32",
        arguments: models, TestedDevice.all)
    func matchesPyTorch(name: String, device: TestedDevice) throws {
        let golden = try Golden(name)
        let labels = try golden.integers("labels")
        let outcome = try Self.run(
            golden, labels: labels, documentStart: nil, device: device, computeType: .float32)
        let expected = try golden.floats("logits")
        #expect(largestDifference(outcome.logits, expected) <= ModelTolerance.logits)
        #expect(abs(outcome.meanLoss - golden.loss) <= ModelTolerance.loss)
        for (tensor, gradient) in outcome.gradients {
            let difference = relativeNorm(gradient, try golden.floats("gradient.\(tensor)"))
            #expect(difference <= ModelTolerance.gradient, "\(tensor)")
        }
    }

    @Test(
        "packed documents attend only to themselves, as PyTorch's with a mask",
        arguments: models, TestedDevice.all)
    func matchesPyTorchWithDocuments(name: String, device: TestedDevice) throws {
        let golden = try Golden(name)
        let outcome = try Self.run(
            golden, labels: golden.integers("packed.labels"),
            documentStart: golden.integers("packed.document_start"), device: device,
            computeType: .float32)
        #expect(
            largestDifference(outcome.logits, try golden.floats("packed.logits"))
                <= ModelTolerance.logits)
        #expect(abs(outcome.meanLoss - golden.packedLoss) <= ModelTolerance.loss)
        for (tensor, gradient) in outcome.gradients {
            let expected = try golden.floats("packed.gradient.\(tensor)")
            #expect(relativeNorm(gradient, expected) <= ModelTolerance.gradient, "\(tensor)")
        }
    }

    @Test(
        "recomputing blocks and walking the head in small chunks change no gradient",
        arguments: models, TestedDevice.all)
    func recomputeKeepsGradients(name: String, device: TestedDevice) throws {
        let golden = try Golden(name)
        let labels = try golden.integers("labels")
        let kept = try Self.run(
            golden, labels: labels, documentStart: nil, device: device, computeType: .float32)
        let recomputed = try Self.run(
            golden, labels: labels, documentStart: nil, device: device, computeType: .float32,
            recompute: .block)
        #expect(kept.logits == recomputed.logits)
        for (tensor, gradient) in kept.gradients {
            #expect(gradient == recomputed.gradients[tensor], "\(tensor)")
        }
        let chunked = try Self.run(
            golden, labels: labels, documentStart: nil, device: device, computeType: .float32,
            chunking: HeadChunking(rows: 7))
        for (tensor, gradient) in chunked.gradients {
            let expected = try golden.floats("gradient.\(tensor)")
            #expect(relativeNorm(gradient, expected) <= ModelTolerance.gradient, "\(tensor)")
        }
    }

    @Test(
        "bfloat16 storage stays near float32", arguments: models, TestedDevice.all)
    func bfloat16StaysNear(name: String, device: TestedDevice) throws {
        let golden = try Golden(name)
        let labels = try golden.integers("labels")
        let outcome = try Self.run(
            golden, labels: labels, documentStart: nil, device: device, computeType: .bfloat16)
        let expected = try golden.floats("logits")
        #expect(largestDifference(outcome.logits, expected) <= ModelTolerance.bfloat16Logits)
        #expect(abs(outcome.meanLoss - golden.loss) <= ModelTolerance.bfloat16Loss)
        for (tensor, gradient) in outcome.gradients {
            let difference = relativeNorm(gradient, try golden.floats("gradient.\(tensor)"))
            #expect(difference <= ModelTolerance.bfloat16Gradient, "\(tensor)")
        }
    }
}
