import ForjaCore
import ForjaModels
import ForjaRuntime
import Foundation

/// Samples on a device and a thread of its own, from a copy of the weights, while the caller goes on.
///
///     begin   copies the weights of the moment, then returns
///     finish  waits for what was begun
///
/// Between the two calls everything here belongs to the sampler's thread, otherwise to the caller's.
final class PipelinedSampler: @unchecked Sendable {
    private let model: LlamaModel
    private let queue: Queue
    private let sampler: RolloutSampler
    private let ended = DispatchSemaphore(value: 0)
    private var outcome: Result<[RolloutSet], ForjaError>?

    /// - Parameter policy: The model trained; its weights are copied by `begin`.
    init(
        policy: LlamaModel, device: Device, data: GroupRelativeData, mostAnswers: Int
    ) throws(ForjaError) {
        queue = try Queue(device: device)
        model = LlamaModel(
            policy.configuration, computeType: policy.computeType, positions: policy.positions,
            isTrained: false)
        try model.allocate(on: queue)
        sampler = try RolloutSampler(
            model: model, queue: queue, data: data, mostAnswers: mostAnswers)
        try sampler.prepare()
    }

    func begin(
        _ plan: RolloutPlan, weightsOf policy: LlamaModel, on policyQueue: Queue
    ) throws(ForjaError) {
        try model.copyWeights(of: policy, from: policyQueue, to: queue)
        outcome = nil
        let thread = Thread { [self] in
            outcome = Result { () throws(ForjaError) in try sampler.sets(of: plan) }
            ended.signal()
        }
        thread.name = "sampler"
        // As a main thread has: OpenCL drivers compile on it.
        thread.stackSize = 8 << 20
        thread.start()
    }

    func finish() throws(ForjaError) -> [RolloutSet] {
        ended.wait()
        return try outcome!.get()
    }
}

extension LlamaModel {
    /// Takes over the weights that kernels of another model of the same shape read, by way of the host.
    func copyWeights(
        of other: LlamaModel, from source: Queue, to destination: Queue
    ) throws(ForjaError) {
        for (from, to) in zip(other.parameters, parameters) {
            var bytes = [UInt8](repeating: 0, count: from.compute.byteCount)
            try bytes.withUnsafeMutableBufferPointer { buffer throws(ForjaError) in
                try from.compute.readBytes(
                    into: UnsafeMutableRawBufferPointer(buffer), on: source)
                try to.compute.writeBytes(UnsafeRawBufferPointer(buffer), on: destination)
            }
        }
    }
}
