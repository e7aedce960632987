import CForja
import ForjaCore

extension Tuner {
    /// Finds the fastest right variant of `call` on the queue's device. What is expected is computed
    /// by `host`.
    public func tune(
        _ call: VariantCall, on queue: Queue, host: Queue
    ) throws(ForjaError) -> Outcome {
        let bench = try DeviceTuningBench(call, on: queue, host: host)
        do throws(ForjaError) {
            let outcome = try tune(bench)
            try bench.end()
            return outcome
        } catch {
            try bench.end()
            var named = error
            named.message = "\(call.operation) \(call.shape): \(error.message)"
            throw named
        }
    }
}

/// Runs a call with random operands on a device and, for comparison, on the host.
private final class DeviceTuningBench: TuningBench {
    private let call: VariantCall
    private let device: TuningOperands
    private let host: TuningOperands
    private let queue: Queue
    /// Calls of one measurement, by variant: enough to be timed.
    private var repeats: [KernelVariant: Int] = [:]

    init(_ call: VariantCall, on queue: Queue, host hostQueue: Queue) throws(ForjaError) {
        self.call = call
        self.queue = queue
        host = try TuningOperands(call, on: hostQueue)
        try host.prepare()
        device = try TuningOperands(call, on: queue)
        try device.copyInputs(from: host)
    }

    func variants() throws(ForjaError) -> [KernelVariant] {
        try call.variants(on: queue.device).filter(\.isMadeForDevice)
    }

    func expected() throws(ForjaError) -> (values: [Float], slacks: [Float]) {
        try host.resetOutputs()
        try host.run()
        let outputs = try host.readOutputs()
        return (outputs.flatMap(\.values), outputs.flatMap(\.slacks))
    }

    func results(with variant: KernelVariant) throws(ForjaError) -> [Float] {
        try queue.device.force(variant.identifier, of: call.operationCode)
        try device.resetOutputs()
        try device.run()
        return try device.readOutputs().flatMap(\.values)
    }

    func seconds(with variant: KernelVariant) throws(ForjaError) -> Double {
        try queue.device.force(variant.identifier, of: call.operationCode)
        let enough = 0.005
        var count = repeats[variant] ?? 1
        while true {
            let clock = ContinuousClock()
            let start = clock.now
            for _ in 0..<count { try device.run() }
            try queue.finish()
            let elapsed = clock.now - start
            let seconds =
                Double(elapsed.components.seconds) + 1e-18 * Double(elapsed.components.attoseconds)
            guard repeats[variant] == nil, seconds < enough else {
                repeats[variant] = count
                return seconds / Double(count)
            }
            count *= max(2, min(64, Int(enough / max(seconds, 1e-7)) + 1))
        }
    }

    /// Forces nothing any more.
    func end() throws(ForjaError) { try queue.device.force(nil, of: call.operationCode) }
}
