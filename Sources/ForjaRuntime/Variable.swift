import ForjaCore

/// A tensor that outlives steps: a parameter, an optimizer moment, an input, a cache.
///
/// A variable is declared before it is allocated, so that a plan can be made for a device that could not hold it.
public final class Variable: @unchecked Sendable {
    public let name: String
    public let shape: Shape
    public let dtype: DType
    private var ownBuffer: Buffer?
    /// What this variable is a part of, and its first byte there.
    private var whole: (variable: Variable, byteOffset: Int)?
    /// Of a variable with memory of its own: the collective that may still work on it, begun by the one thread that uses
    /// the variable.
    private var pending: PendingCollective?

    public init(name: String, shape: Shape, dtype: DType) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
    }

    public var byteCount: Int { shape.elementCount * dtype.byteCount }

    /// `nil` until `allocate(on:)`.
    public var buffer: Buffer? { whole?.variable.buffer ?? ownBuffer }
    /// First byte of the variable in `buffer`.
    package var byteOffset: Int { whole.map { $0.byteOffset + $0.variable.byteOffset } ?? 0 }
    /// The variable whose memory this one lies in; itself when it has its own.
    package var root: Variable { whole?.variable.root ?? self }

    /// Lays the variable into another one, from element `offset` on, so that neighbours form one contiguous range. Before
    /// either is allocated.
    package func lay(into variable: Variable, at offset: Int) {
        precondition(buffer == nil && variable.buffer == nil, "\(name) is allocated already")
        precondition(
            dtype == variable.dtype && offset + shape.elementCount <= variable.shape.elementCount)
        whole = (variable, offset * dtype.byteCount)
    }

    /// Allocates the memory; does nothing when it is there already.
    public func allocate(on device: Device) throws(ForjaError) {
        if let whole { return try whole.variable.allocate(on: device) }
        if ownBuffer == nil { ownBuffer = try Buffer(device: device, byteCount: byteCount) }
    }

    /// Has a collective work on the memory beside what comes next.
    func begin(_ collective: PendingCollective) { root.pending = collective }

    /// Waits until no collective works on the memory. Everything here that reads or writes it does, and so does every
    /// `Scheduler`.
    ///
    /// - Throws: What ended the collective; the contents are then not whole, and later calls throw it too.
    func settle() throws(ForjaError) {
        let root = root
        guard let collective = root.pending else { return }
        try collective.lane.wait(for: collective.number)
        root.pending = nil
    }

    var isPending: Bool { root.pending != nil }

    /// Writes elements from `offset` on. The element type's size must be the variable's.
    public func write<Element>(
        _ elements: [Element], at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount)
        precondition(offset + elements.count <= shape.elementCount, "\(name): write past the end")
        try elements.withUnsafeBufferPointer { source throws(ForjaError) in
            try queue.write(
                UnsafeRawBufferPointer(source), to: settled(),
                at: byteOffset + offset * dtype.byteCount)
        }
    }

    /// Writes raw bytes of the variable's own type from element `offset` on.
    public func writeBytes(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        precondition(offset * dtype.byteCount + bytes.count <= byteCount, "\(name): past the end")
        try queue.write(bytes, to: settled(), at: byteOffset + offset * dtype.byteCount)
    }

    /// Reads `count` elements (all by default) from `offset` on, after everything queued before.
    public func read<Element: ExpressibleByIntegerLiteral>(
        _ type: Element.Type, count: Int? = nil, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) -> [Element] {
        precondition(MemoryLayout<Element>.stride == dtype.byteCount)
        var elements = [Element](repeating: 0, count: count ?? shape.elementCount - offset)
        try elements.withUnsafeMutableBufferPointer { destination throws(ForjaError) in
            try queue.read(
                settled(), at: byteOffset + offset * dtype.byteCount,
                into: UnsafeMutableRawBufferPointer(destination))
        }
        return elements
    }

    /// Reads raw bytes from element `offset` on.
    public func readBytes(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int = 0, on queue: Queue
    ) throws(ForjaError) {
        try queue.read(
            settled(), at: byteOffset + offset * dtype.byteCount, into: bytes)
    }

    /// Sets every byte to zero.
    public func clear(on queue: Queue) throws(ForjaError) {
        try queue.fill(settled(), at: byteOffset, byteCount: byteCount, with: 0)
    }

    private func settled() throws(ForjaError) -> Buffer {
        try settle()
        return allocated()
    }

    func allocated() -> Buffer {
        guard let buffer else { preconditionFailure("\(name) is used before it is allocated") }
        return buffer
    }
}

/// A collective handed to a lane: who wants what it works on waits for it.
struct PendingCollective {
    let lane: CommunicationLane
    let number: Int
}
