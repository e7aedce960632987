import CForja
import Testing

/// A device's queue and the guarded tensors that one test's operations read and write.
final class Workbench {
    let device: TestDevice
    /// Nothing else allocates on the device.
    private let isAlone: Bool
    private let guardCount: Int
    private var tensors: [GuardedTensor] = []

    init(on device: TestDevice, isAlone: Bool = false, guardCount: Int = 19) {
        self.device = device
        self.isAlone = isAlone
        self.guardCount = guardCount
    }

    /// A tensor holding `values` rounded to `storage`.
    func tensor(_ values: [Double], as storage: Storage) throws -> GuardedTensor {
        try tensor(payload: storage.encoded(values), storage)
    }

    /// A tensor of `count` NaNs: what is not written, or is added to, shows.
    func poisoned(_ count: Int, as storage: Storage) throws -> GuardedTensor {
        try tensor(
            payload: [UInt8](repeating: 0xff, count: count * storage.byteCount), storage)
    }

    /// Integers: ids, labels, positions.
    func integers(_ values: [Int32]) throws -> GuardedTensor {
        try tensor(payload: bytes(of: values), .f32)
    }

    /// A tensor of exactly these bytes.
    func tensor(payload: [UInt8], _ storage: Storage) throws -> GuardedTensor {
        let tensor = try GuardedTensor(
            payload: payload, storage, guardCount: guardCount, on: device)
        tensors.append(tensor)
        return tensor
    }

    /// Runs one operation and waits for it, then expects the guards of every tensor intact.
    ///
    /// - Parameter workspaceBytes: What the operation said it needs: reserved first, and expected to
    ///   be enough where the device is not shared.
    func run(
        workspaceBytes: UInt64 = 0, sourceLocation: SourceLocation = #_sourceLocation,
        _ operation: (OpaquePointer) -> forja_status
    ) throws {
        if workspaceBytes > 0 {
            try requireOK(forja_queue_reserve_workspace(device.queue, workspaceBytes))
        }
        let allocated = forja_device_allocated_bytes(device.device)
        try requireOK(operation(device.queue), sourceLocation: sourceLocation)
        if isAlone {
            #expect(
                forja_device_allocated_bytes(device.device) == allocated,
                "needs more workspace than \(workspaceBytes) bytes", sourceLocation: sourceLocation)
        }
        for tensor in tensors { _ = try tensor.bytes(sourceLocation: sourceLocation) }
    }
}

/// A tensor between guard bytes, as numbers of one storage type.
final class GuardedTensor {
    /// Elements before and after.
    private let guardCount: Int

    let storage: Storage
    let count: Int
    private let buffer: TestBuffer<UInt8>

    fileprivate init(
        payload: [UInt8], _ storage: Storage, guardCount: Int, on device: TestDevice
    ) throws {
        self.guardCount = guardCount
        self.storage = storage
        count = payload.count / storage.byteCount
        buffer = try device.buffer(payload, guardBytes: guardCount * storage.byteCount)
    }

    /// The tensor as the engine takes it.
    var span: forja_span { span(at: 0) }

    /// The tensor from element `offset` on.
    func span(at offset: Int) -> forja_span {
        forja_span(buffer: buffer.handle, offset: UInt64(guardCount + offset))
    }

    /// The tensor's bytes, for comparisons to the bit; records an issue when a guard changed.
    func bytes(sourceLocation: SourceLocation = #_sourceLocation) throws -> [UInt8] {
        try buffer.read(sourceLocation: sourceLocation)
    }

    func values() throws -> [Double] { try storage.decoded(bytes()) }
}
