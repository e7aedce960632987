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

    /// Operations launched since the queue was made.
    public var launchCount: Int { Int(forja_queue_launch_count(handle)) }

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
