import ForjaCore

/// A tensor that outlives steps: a parameter, an optimizer moment, an input, a cache.
///
/// A variable is declared before it is allocated, so that a plan can be made for a device that could not hold it.
public final class Variable: @unchecked Sendable {
    public let name: String
    public let shape: Shape
    public let dtype: DType
    /// `nil` until `allocate(on:)`.
    public private(set) var buffer: Buffer?

    public init(name: String, shape: Shape, dtype: DType) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
    }

    public var byteCount: Int { shape.elementCount * dtype.byteCount }

    /// Allocates the memory; does nothing when it is there already.
    public func allocate(on device: Device) throws(ForjaError) {
        if buffer == nil { buffer = try Buffer(device: device, byteCount: byteCount) }
    }

    /// Writes elements from `offset` on. The element type's size must be the variable's.
    public func write<Element>(
        _ elements: [Element], at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount)
        precondition(offset + elements.count <= shape.elementCount, "\(name): write past the end")
        try elements.withUnsafeBufferPointer { source throws(ForjaError) in
            try queue.write(
                UnsafeRawBufferPointer(source), to: allocated(), at: offset * dtype.byteCount)
        }
    }

    /// Writes raw bytes of the variable's own type from element `offset` on.
    public func writeBytes(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        precondition(offset * dtype.byteCount + bytes.count <= byteCount, "\(name): past the end")
        try queue.write(bytes, to: allocated(), at: offset * dtype.byteCount)
    }

    /// Reads `count` elements (all by default) from `offset` on, after everything queued before.
    public func read<Element: ExpressibleByIntegerLiteral>(
        _ type: Element.Type, count: Int? = nil, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) -> [Element] {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount)
        var elements = [Element](repeating: 0, count: count ?? shape.elementCount - offset)
        try elements.withUnsafeMutableBufferPointer { destination throws(ForjaError) in
            try queue.read(
                allocated(), at: offset * dtype.byteCount,
                into: UnsafeMutableRawBufferPointer(destination))
        }
        return elements
    }

    /// Reads raw bytes from element `offset` on.
    public func readBytes(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        try queue.read(allocated(), at: offset * dtype.byteCount, into: bytes)
    }

    /// Sets every byte to zero.
    public func clear(on queue: Queue) throws(ForjaError) {
        try queue.fill(allocated(), at: 0, byteCount: byteCount, with: 0)
    }

    func allocated() -> Buffer {
        guard let buffer else { preconditionFailure("\(name) is used before it is allocated") }
        return buffer
    }
}
