import CForja
import ForjaCore

/// Runs operations of one device in the order given. Used by one thread at a time.
public final class Queue: @unchecked Sendable {
    public let device: Device
    let handle: OpaquePointer

    public init(device: Device) throws(ForjaError) {
        self.device = device
        var handle: OpaquePointer?
        try engineCheck(forja_queue_create(&handle, device.handle))
        self.handle = handle!
    }

    deinit { forja_queue_free(handle) }

    /// Waits until everything queued is done.
    public func finish() throws(ForjaError) {
        try engineCheck(forja_queue_finish(handle))
    }

    /// What the queue has done since it was made. The numbers repeat exactly, so benchmarks gate on them.
    public var counters: Counters {
        var counters = forja_queue_counters()
        forja_queue_get_counters(&counters, handle)
        return Counters(
            operations: Int(counters.operations), launches: Int(counters.launches),
            hostSyncs: Int(counters.host_syncs), bytesToDevice: Int(counters.bytes_to_device),
            bytesFromDevice: Int(counters.bytes_from_device))
    }

    /// Counts of a queue, or of a part of its life: `after - before`.
    public struct Counters: Hashable, Sendable {
        /// Operations of the engine; one may be several kernels.
        public var operations: Int
        /// Kernels enqueued, or on the host runs of its thread pool.
        public var launches: Int
        /// Times the host waited for the device.
        public var hostSyncs: Int
        /// Bytes copied from and to the host's memory.
        public var bytesToDevice: Int
        public var bytesFromDevice: Int

        public static func - (after: Counters, before: Counters) -> Counters {
            Counters(
                operations: after.operations - before.operations,
                launches: after.launches - before.launches,
                hostSyncs: after.hostSyncs - before.hostSyncs,
                bytesToDevice: after.bytesToDevice - before.bytesToDevice,
                bytesFromDevice: after.bytesFromDevice - before.bytesFromDevice)
        }
    }

    /// Keeps the device's own time of every kernel from here on, where it has one (OpenCL).
    func startProfile() throws(ForjaError) {
        try engineCheck(forja_queue_start_profile(handle))
    }

    /// Kernels kept since `startProfile`.
    var profiledKernelCount: Int { Int(forja_queue_profiled_count(handle)) }

    /// Seconds of each kept kernel, after everything queued is done.
    func readProfile() throws(ForjaError) -> [Double] {
        var seconds = [Double](repeating: 0, count: profiledKernelCount)
        try engineCheck(forja_queue_read_profile(&seconds, handle))
        return seconds
    }

    func reserveWorkspace(byteCount: Int) throws(ForjaError) {
        try engineCheck(forja_queue_reserve_workspace(handle, UInt64(byteCount)))
    }

    /// Copies host memory into `buffer`; returns when `source` may be reused.
    package func write(
        _ source: UnsafeRawBufferPointer, to buffer: Buffer, at byteOffset: Int
    ) throws(ForjaError) {
        guard let base = source.baseAddress, source.count > 0 else { return }
        try engineCheck(
            forja_buffer_write(
                handle, buffer.handle, UInt64(byteOffset), base, UInt64(source.count)))
    }

    /// Copies from `buffer` into host memory, after everything queued before.
    package func read(
        _ buffer: Buffer, at byteOffset: Int, into destination: UnsafeMutableRawBufferPointer
    ) throws(ForjaError) {
        guard let base = destination.baseAddress, destination.count > 0 else { return }
        try engineCheck(
            forja_buffer_read(
                handle, base, buffer.handle, UInt64(byteOffset), UInt64(destination.count)))
    }

    package func fill(
        _ buffer: Buffer, at byteOffset: Int, byteCount: Int, with byte: UInt8
    ) throws(ForjaError) {
        guard byteCount > 0 else { return }
        try engineCheck(
            forja_buffer_fill(
                handle, buffer.handle, UInt64(byteOffset), UInt64(byteCount), byte))
    }
}
