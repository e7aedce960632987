import CForja
import ForjaCore

/// Host memory that copies to and from a device go through; pinned where the device has memory of its own, which its
/// copies need to run at the speed of the bus.
final class StagingMemory: @unchecked Sendable {
    /// Whoever holds them sees to it that one thread at a time uses them.
    let bytes: UnsafeMutableRawBufferPointer
    private let handle: OpaquePointer
    private let device: Device

    /// - Throws: `.outOfMemory` naming the size, what is in use and the limit.
    init(device: Device, byteCount: Int) throws(ForjaError) {
        self.device = device
        var handle: OpaquePointer?
        try engineCheck(forja_staging_create(&handle, device.handle, UInt64(byteCount)))
        self.handle = handle!
        bytes = UnsafeMutableRawBufferPointer(
            start: forja_staging_get_pointer(handle), count: byteCount)
    }

    deinit { forja_staging_free(handle) }
}
