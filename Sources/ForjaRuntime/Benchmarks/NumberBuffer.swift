import CForja
import ForjaCore

/// Random numbers that are quick and the same everywhere: SplitMix64 (Steele, Lea and Flood, 2014).
struct SplitMix64 {
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `count` numbers in [−1, 1).
    mutating func uniform(_ count: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: count) { numbers, initialized in
            for index in 0..<count {
                numbers[index] = Float(Int32(truncatingIfNeeded: next() >> 32)) * 0x1p-31
            }
            initialized = count
        }
    }
}

/// A device buffer of f32, bf16 or i32 numbers, and what it starts as.
final class NumberBuffer {
    private let queue: Queue
    private let buffer: Buffer
    private let dtype: DType
    /// As stored: rounded towards zero where the buffer holds bf16.
    let start: [Float]

    /// - Parameter numbers: Whole ones for i32, below 2²⁴.
    init(_ numbers: [Float], as dtype: DType, on queue: Queue) throws(ForjaError) {
        self.queue = queue
        self.dtype = dtype
        start =
            dtype == .bfloat16
            ? numbers.map { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) } : numbers
        buffer = try Buffer(device: queue.device, byteCount: start.count * dtype.byteCount)
        try reset()
    }

    var span: forja_span { forja_span(buffer: buffer.handle, offset: 0) }

    /// Writes what the buffer started as.
    func reset() throws(ForjaError) { try write(start) }

    func write(_ numbers: [Float]) throws(ForjaError) {
        switch dtype {
        case .float32: try write(elements: numbers)
        case .int32: try write(elements: numbers.map { Int32($0) })
        default:
            try write(elements: numbers.map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) })
        }
    }

    func read() throws(ForjaError) -> [Float] {
        switch dtype {
        case .float32: try read(as: Float.self)
        case .int32: try read(as: Int32.self).map(Float.init)
        default:
            try read(as: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        }
    }

    private func write<Element>(elements: [Element]) throws(ForjaError) {
        let result = elements.withUnsafeBytes { bytes in
            Result { () throws(ForjaError) in try queue.write(bytes, to: buffer, at: 0) }
        }
        try result.get()
    }

    private func read<Element: Numeric>(as type: Element.Type) throws(ForjaError) -> [Element] {
        var elements = [Element](repeating: 0, count: start.count)
        let result = elements.withUnsafeMutableBytes { bytes in
            Result { () throws(ForjaError) in try queue.read(buffer, at: 0, into: bytes) }
        }
        try result.get()
        return elements
    }
}
