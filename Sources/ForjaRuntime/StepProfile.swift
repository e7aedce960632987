import CForja
import ForjaCore

/// Where the time of recorded dispatches goes: what each took in kernels, by the name it was recorded under.
///
/// On the host a dispatch's time is that of its call. OpenCL devices run behind the caller's back, so there the device's
/// own clock says when each kernel started and ended.
public final class StepProfile {
    /// One name's share.
    public struct Row: Sendable {
        public let name: String
        public let dispatchCount: Int
        public let seconds: Double
    }

    private let queue: Queue
    /// Per dispatch in the order run: its name, the host's seconds in its call, and the first of its kernels.
    private var dispatches: [(name: String, callSeconds: Double, firstKernel: Int)] = []

    init(queue: Queue) throws(ForjaError) {
        self.queue = queue
        try queue.startProfile()
    }

    /// Runs one dispatch under its name.
    func time(_ name: String, _ call: () -> forja_status) -> forja_status {
        let firstKernel = queue.profiledKernelCount
        let start = ContinuousClock.now
        let status = call()
        dispatches.append((name, (ContinuousClock.now - start) / .seconds(1), firstKernel))
        return status
    }

    /// Waits for the queue; the names that took longest come first.
    public func rows() throws(ForjaError) -> [Row] {
        let kernelSeconds = try queue.readProfile()
        let isHost = queue.device.description.kind == .host
        var totals: [String: (count: Int, seconds: Double)] = [:]
        for (index, dispatch) in dispatches.enumerated() {
            let end =
                index + 1 < dispatches.count
                ? dispatches[index + 1].firstKernel : kernelSeconds.count
            let seconds =
                isHost
                ? dispatch.callSeconds : kernelSeconds[dispatch.firstKernel..<end].reduce(0, +)
            totals[dispatch.name, default: (0, 0)].count += 1
            totals[dispatch.name, default: (0, 0)].seconds += seconds
        }
        return totals.map { Row(name: $0, dispatchCount: $1.count, seconds: $1.seconds) }
            .sorted { ($0.seconds, $1.name) > ($1.seconds, $0.name) }
    }
}
