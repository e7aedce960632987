import CForja
import ForjaCore
import Foundation

/// Runs a rank's collectives one after another, on a thread of its own where they are to overlap computation.
///
/// On the host a collective works on the buffer itself. On an OpenCL device its bytes go through staging memory, by a
/// queue of the lane's own, once the device has done what was queued before.
package final class CommunicationLane: @unchecked Sendable {
    /// A collective with its address resolved.
    struct Call {
        let name: String
        let dispatch: CollectiveDispatch
        let span: forja_span

        var byteCount: Int { dispatch.byteCount }
        /// First byte in the buffer.
        var byteOffset: Int { Int(span.offset) * dispatch.dtype.byteCount }
    }

    private struct Job {
        let call: Call
        let isReady: Event?
    }

    private let device: Device
    /// For copies to and from the device; `nil` on the host.
    private let copies: Queue?
    private let overlaps: Bool
    /// `nil` on the host, and until `reserve`.
    private var staging: StagingMemory?

    /// Set before the first call.
    var trace: Trace.Recorder?

    private let condition = NSCondition()
    // Guarded by the condition.
    private var jobs: [Job] = []
    private var running: Job?
    private var submittedCount = 0
    private var doneCount = 0
    private var failure: ForjaError?
    private var isEnding = false
    private var hasThread = false

    /// - Parameter overlaps: Whether collectives may run beside computation; without, each is done when `submit` returns.
    package init(device: Device, overlaps: Bool) throws(ForjaError) {
        self.device = device
        self.overlaps = overlaps
        copies = device.description.kind == .host ? nil : try Queue(device: device)
    }

    /// Staging memory that calls of at most `byteCount` bytes on a device need.
    static func stagingByteCount(_ byteCount: Int, on device: Device) -> Int {
        device.description.kind == .host ? 0 : byteCount
    }

    /// Makes room for the largest call, so that none allocates. Before the first one.
    ///
    /// - Throws: `.outOfMemory` as `StagingMemory`.
    func reserve(byteCount: Int) throws(ForjaError) {
        let needed = Self.stagingByteCount(byteCount, on: device)
        guard needed > staging?.bytes.count ?? 0 else { return }
        staging = nil
        staging = try StagingMemory(device: device, byteCount: needed)
    }

    /// Queues a collective behind those before it, to begin when `compute` has done what is queued there now.
    ///
    /// - Returns: Its number, for `wait`.
    /// - Throws: What ended this collective where it does not overlap, or one before it, named by the collective.
    func submit(_ call: Call, after compute: Queue) throws(ForjaError) -> Int {
        let isReady = try during(call.name) { () throws(ForjaError) in
            copies == nil ? nil : try Event(compute)
        }
        guard overlaps else {
            try run(Job(call: call, isReady: isReady))
            return 0
        }
        condition.lock()
        defer { condition.unlock() }
        if let failure { throw failure }
        if !hasThread { start() }
        jobs.append(Job(call: call, isReady: isReady))
        submittedCount += 1
        condition.broadcast()
        return submittedCount
    }

    /// Waits until the collective with that number, and so every one before it, is done.
    ///
    /// - Throws: What ended the first collective that failed, named by the collective.
    func wait(for number: Int) throws(ForjaError) {
        condition.lock()
        defer { condition.unlock() }
        while doneCount < number, failure == nil { condition.wait() }
        if let failure { throw failure }
    }

    /// After a failure elsewhere: makes the other ranks stop and waits until no collective of this one is under way, so
    /// that nobody touches the buffers any more.
    func abandon(_ reason: ForjaError) {
        condition.lock()
        defer { condition.unlock() }
        let groups = (jobs + [running].compactMap { $0 }).map(\.call.dispatch.group)
        jobs.removeAll()
        failure = failure ?? reason
        condition.unlock()
        for group in groups { group.communicator.abort(reason) }
        condition.lock()
        while running != nil { condition.wait() }
    }

    /// Ends the thread once nothing is left to do. Later calls of `submit` start another.
    package func end() {
        condition.withLock {
            isEnding = true
            condition.broadcast()
        }
    }

    private func start() {
        hasThread = true
        isEnding = false
        let thread = Thread { [self] in
            while let job = next() {
                do throws(ForjaError) {
                    try run(job)
                    finish(nil)
                } catch {
                    finish(error)
                }
            }
        }
        thread.name = "communication"
        thread.start()
    }

    private func next() -> Job? {
        condition.lock()
        defer { condition.unlock() }
        while jobs.isEmpty, !isEnding, failure == nil { condition.wait() }
        guard !jobs.isEmpty, failure == nil else {
            hasThread = false
            return nil
        }
        running = jobs.removeFirst()
        return running
    }

    private func finish(_ error: ForjaError?) {
        condition.withLock {
            doneCount += 1
            running = nil
            failure = failure ?? error
            condition.broadcast()
        }
    }

    private func run(_ job: Job) throws(ForjaError) {
        let start = trace == nil ? 0 : Trace.now
        defer { trace?.add(job.call.name, "collective", lane: .communication, since: start) }
        try during(job.call.name) { () throws(ForjaError) in try perform(job) }
    }

    private func perform(_ job: Job) throws(ForjaError) {
        let call = job.call
        guard let copies else {
            let bytes = forja_buffer_get_host_pointer(call.span.buffer)! + call.byteOffset
            return try exchange(
                call, UnsafeMutableRawBufferPointer(start: bytes, count: call.byteCount))
        }
        try job.isReady?.wait()
        guard let staging else { preconditionFailure("\(call.name): reserve was not called") }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: staging.bytes[..<call.byteCount])
        try copyThroughHost(call, bytes, copies)
    }

    /// Reads what this rank gives, and writes what it gets back.
    private func copyThroughHost(
        _ call: Call, _ bytes: UnsafeMutableRawBufferPointer, _ copies: Queue
    ) throws(ForjaError) {
        let chunk = call.dispatch.chunks[call.dispatch.group.rank]
        let size = call.dispatch.dtype.byteCount
        let own = chunk.lowerBound * size..<chunk.upperBound * size
        let whole = 0..<bytes.count
        let given = call.dispatch.operation == .allGather ? own : whole
        let taken = call.dispatch.operation == .reduceScatter ? own : whole
        let start = trace == nil ? 0 : Trace.now
        try copy(given) { forja_buffer_read(copies.handle, $0, call.span.buffer, $1, $2) }
        trace?.add("copy to host", "transfer", lane: .communication, since: start)
        try exchange(call, bytes)
        let end = trace == nil ? 0 : Trace.now
        try copy(taken) { forja_buffer_write(copies.handle, call.span.buffer, $1, $0, $2) }
        trace?.add("copy to device", "transfer", lane: .communication, since: end)

        func copy(
            _ range: Range<Int>,
            _ transfer: (UnsafeMutableRawPointer, UInt64, UInt64) -> forja_status
        ) throws(ForjaError) {
            guard !range.isEmpty else { return }
            try engineCheck(
                transfer(
                    bytes.baseAddress! + range.lowerBound,
                    UInt64(call.byteOffset + range.lowerBound), UInt64(range.count)))
        }
    }

    private func exchange(
        _ call: Call, _ bytes: UnsafeMutableRawBufferPointer
    ) throws(ForjaError) {
        let (group, dtype) = (call.dispatch.group, call.dispatch.dtype)
        let block = call.dispatch.block
        switch call.dispatch.operation {
        case .reduceScatter: try group.reduceScatter(bytes, dtype: dtype, block: block)
        case .allGather: try group.allGather(bytes, dtype: dtype, block: block)
        case .allReduce:
            try group.reduceScatter(bytes, dtype: dtype, block: block)
            try group.allGather(bytes, dtype: dtype, block: block)
        }
    }
}
