import CForja
import ForjaCore

/// Device memory, freed with the last reference. Holds its device alive.
public final class Buffer: @unchecked Sendable {
    public let device: Device
    public let byteCount: Int
    let handle: OpaquePointer

    /// Allocates at least one byte; contents are undefined.
    ///
    /// - Throws: `.outOfMemory` naming the size, what is in use and the limit.
    public init(device: Device, byteCount: Int) throws(ForjaError) {
        self.device = device
        self.byteCount = max(byteCount, 1)
        var handle: OpaquePointer?
        try engineCheck(forja_buffer_create(&handle, device.handle, UInt64(self.byteCount)))
        self.handle = handle!
    }

    deinit { forja_buffer_free(handle) }
}
