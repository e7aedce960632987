import CForja
import Foundation
import Testing

/// An open device with a queue of its own, for one test.
///
///     @Test(arguments: TestDevice.all)
///     func addsTwoVectors(on choice: TestDevice.Choice) throws {
///         let device = try choice.open()
///         let a = try device.buffer([1, 2, 3] as [Float])
///         ...
///     }
final class TestDevice {
    /// A device that a test may open: the argument of a parameterized test.
    struct Choice: Sendable, CustomTestStringConvertible {
        let name: String
        /// Nil for the host CPU.
        let openCLIndex: Int?

        var testDescription: String { name }
        var isHost: Bool { openCLIndex == nil }

        /// A device and queue for the calling test alone, so that tests may run side by side.
        ///
        /// The host is opened anew with `threadCount` threads. OpenCL devices are opened once in the
        /// process and shared, so that their kernels are built once.
        func open(threadCount: UInt32 = 2) throws -> TestDevice {
            guard let openCLIndex else {
                var device: OpaquePointer?
                try requireOK(forja_device_open_host(&device, threadCount))
                return try TestDevice(name: name, device: #require(device), ownsDevice: true)
            }
            let device = try #require(
                sharedOpenCLDevices[openCLIndex], "\(name) could not be opened")
            return try TestDevice(name: name, device: device, ownsDevice: false)
        }

        /// A device opened anew, so that nothing but the calling test allocates on it.
        func openAlone() throws -> TestDevice {
            guard let openCLIndex else { return try open() }
            var device: OpaquePointer?
            try requireOK(forja_device_open_opencl(&device, openCLIndex))
            return try TestDevice(name: name, device: #require(device), ownsDevice: true)
        }
    }

    /// The host, then every OpenCL device in discovery order.
    static let all: [Choice] = [host] + openCL
    static let host = Choice(name: "host", openCLIndex: nil)
    static let openCL: [Choice] = (0..<forja_opencl_device_count()).map { index in
        var info = forja_device_info()
        _ = forja_opencl_device_query(&info, index)
        let name = withUnsafeBytes(of: info.name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return Choice(name: "opencl:\(index) \(name)", openCLIndex: index)
    }
    static let hasOpenCL = !openCL.isEmpty
    /// Why tests that need OpenCL are skipped.
    static let openCLReason: Comment = "needs an OpenCL device; FORJA_TEST_REQUIRE_OPENCL=1 insists"

    let name: String
    let device: OpaquePointer
    let queue: OpaquePointer
    private let ownsDevice: Bool

    private init(name: String, device: OpaquePointer, ownsDevice: Bool) throws {
        var queue: OpaquePointer?
        try requireOK(forja_queue_create(&queue, device))
        self.name = name
        self.device = device
        self.queue = try #require(queue)
        self.ownsDevice = ownsDevice
    }

    deinit {
        forja_queue_free(queue)
        if ownsDevice { forja_device_free(device) }
    }

    /// A buffer that holds `values` between two runs of `guardBytes` bytes that operations must leave alone.
    ///
    /// The default guard puts the first element on no vector's boundary.
    func buffer<Element: BitwiseCopyable>(
        _ values: [Element], guardBytes: Int = 52
    ) throws -> TestBuffer<Element> {
        try TestBuffer(values, on: self, guardBytes: guardBytes)
    }

    /// A buffer for results: every byte is 0xFF, which is a NaN in each floating-point type and −1 in Int32.
    func poisoned<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int, guardBytes: Int = 52
    ) throws -> TestBuffer<Element> {
        let bytes = [UInt8](repeating: 0xFF, count: MemoryLayout<Element>.stride)
        let element = bytes.withUnsafeBytes { $0.loadUnaligned(as: Element.self) }
        return try buffer([Element](repeating: element, count: count), guardBytes: guardBytes)
    }
}

/// A buffer of a test device with guarded ends, freed with the last reference.
final class TestBuffer<Element: BitwiseCopyable> {
    let handle: OpaquePointer
    let count: Int
    private let owner: TestDevice
    private let guardBytes: Int
    private let size: Int

    private static var guardByte: UInt8 { 0xA5 }

    fileprivate init(_ values: [Element], on owner: TestDevice, guardBytes: Int) throws {
        let stride = MemoryLayout<Element>.stride
        precondition(guardBytes % stride == 0, "a guard holds whole elements")
        self.owner = owner
        self.guardBytes = guardBytes
        count = values.count
        size = max(2 * guardBytes + values.count * stride, 1)
        var handle: OpaquePointer?
        try requireOK(forja_buffer_create(&handle, owner.device, UInt64(size)))
        self.handle = try #require(handle)
        var bytes = [UInt8](repeating: Self.guardByte, count: size)
        values.withUnsafeBytes {
            bytes.replaceSubrange(guardBytes..<guardBytes + $0.count, with: $0)
        }
        try requireOK(forja_buffer_write(owner.queue, self.handle, 0, bytes, UInt64(size)))
    }

    deinit { forja_buffer_free(handle) }

    /// Where the values start: behind the first guard.
    var span: forja_span { span(at: 0) }

    /// The place of element `index`.
    func span(at index: Int) -> forja_span {
        forja_span(
            buffer: handle, offset: UInt64(guardBytes / MemoryLayout<Element>.stride + index))
    }

    /// The values, read after everything queued; records an issue when a guard byte changed.
    func read(sourceLocation: SourceLocation = #_sourceLocation) throws -> [Element] {
        var bytes = [UInt8](repeating: 0, count: size)
        try requireOK(
            forja_buffer_read(owner.queue, &bytes, handle, 0, UInt64(size)),
            sourceLocation: sourceLocation)
        let before = bytes[..<guardBytes]
        let after = bytes[(size - guardBytes)...]
        #expect(
            before.allSatisfy { $0 == Self.guardByte }, "bytes before the buffer were written",
            sourceLocation: sourceLocation)
        #expect(
            after.allSatisfy { $0 == Self.guardByte }, "bytes past the buffer were written",
            sourceLocation: sourceLocation)
        return bytes.withUnsafeBytes { raw in
            (0..<count).map {
                raw.loadUnaligned(
                    fromByteOffset: guardBytes + $0 * MemoryLayout<Element>.stride,
                    as: Element.self)
            }
        }
    }
}

/// An absent optional operand.
var absentSpan: forja_span { forja_span(buffer: nil, offset: 0) }

/// What a queue has done since it was made.
func counters(of queue: OpaquePointer?) -> forja_queue_counters {
    var counters = forja_queue_counters()
    forja_queue_get_counters(&counters, queue)
    return counters
}

/// The calling thread's message for its last failed call.
func lastError() -> String { String(cString: forja_last_error()) }

/// Records an issue with the engine's message unless `status` is FORJA_OK.
func expectOK(_ status: forja_status, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(status == FORJA_OK, "\(lastError())", sourceLocation: sourceLocation)
}

/// Records an issue unless the call failed with `expected` and a message that holds `text`.
func expectFailure(
    _ expected: forja_status, _ status: forja_status, saying text: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(status == expected, "\(lastError())", sourceLocation: sourceLocation)
    #expect(
        text.isEmpty || lastError().contains(text), "the message is: \(lastError())",
        sourceLocation: sourceLocation)
}

/// Ends the test with the engine's message unless `status` is FORJA_OK.
func requireOK(_ status: forja_status, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try #require(status == FORJA_OK, "\(lastError())", sourceLocation: sourceLocation)
}

/// Opened once and never closed: the process ends with them.
private nonisolated(unsafe) let sharedOpenCLDevices: [OpaquePointer?] =
    (0..<forja_opencl_device_count()).map { index in
        var device: OpaquePointer?
        return forja_device_open_opencl(&device, index) == FORJA_OK ? device : nil
    }
