import CForja

/// How numbers lie in memory, and the rounding that costs.
///
/// Written apart from the engine's own conversions: rounding picks the nearer neighbour by distance.
enum Storage: String, Sendable, CaseIterable, CustomStringConvertible {
    case f32, bf16, f16

    /// The storage types that operations other than casts take.
    static let computing: [Storage] = [.f32, .bf16]

    var description: String { rawValue }

    var dtype: forja_dtype {
        switch self {
        case .f32: FORJA_DTYPE_F32
        case .bf16: FORJA_DTYPE_BF16
        case .f16: FORJA_DTYPE_F16
        }
    }

    var byteCount: Int { self == .f32 ? 4 : 2 }

    /// Largest relative error of rounding to nearest: half a unit in the last place at 1.
    var unitRoundoff: Double {
        switch self {
        case .f32: 0x1p-24
        case .bf16: 0x1p-8
        case .f16: 0x1p-11
        }
    }

    /// Half the distance between the smallest numbers: the error left where the relative one ends.
    var smallestRoundoff: Double {
        switch self {
        case .f32: 0x1p-150
        case .bf16: 0x1p-134
        case .f16: 0x1p-25
        }
    }

    func encoded(_ values: [Double]) -> [UInt8] {
        switch self {
        case .f32: bytes(of: values.map { Float($0).bitPattern })
        case .bf16: bytes(of: values.map(Self.bf16Bits))
        case .f16: bytes(of: values.map { Float16($0).bitPattern })
        }
    }

    func decoded(_ bytes: [UInt8]) -> [Double] {
        switch self {
        case .f32: elements(of: bytes, as: UInt32.self).map { Double(Float(bitPattern: $0)) }
        case .bf16: elements(of: bytes, as: UInt16.self).map(Self.double(bf16Bits:))
        case .f16: elements(of: bytes, as: UInt16.self).map { Double(Float16(bitPattern: $0)) }
        }
    }

    /// The nearest representable numbers, so that the reference and the device start alike.
    func rounded(_ values: [Double]) -> [Double] { decoded(encoded(values)) }

    static func double(bf16Bits bits: UInt16) -> Double {
        Double(Float(bitPattern: UInt32(bits) << 16))
    }

    /// The bf16 nearest to `value`, ties to the even pattern.
    static func bf16Bits(_ value: Double) -> UInt16 {
        let float = Float(value)
        let towardZero = UInt16(float.bitPattern >> 16)
        guard float.isFinite else { return float.isNaN ? towardZero | 0x40 : towardZero }
        let lower = double(bf16Bits: towardZero)
        // One past the largest finite bf16 stands for ±2¹²⁸, which rounds to infinity.
        let next = double(bf16Bits: towardZero + 1)
        let upper = next.isFinite ? next : (value < 0 ? -0x1p128 : 0x1p128)
        let below = (Double(float) - lower).magnitude
        let above = (upper - Double(float)).magnitude
        if below == above { return towardZero & 1 == 0 ? towardZero : towardZero + 1 }
        return below < above ? towardZero : towardZero + 1
    }
}

func bytes<Element: BitwiseCopyable>(of elements: [Element]) -> [UInt8] {
    elements.withUnsafeBytes { Array($0) }
}

func elements<Element: BitwiseCopyable>(of bytes: [UInt8], as type: Element.Type) -> [Element] {
    bytes.withUnsafeBytes { raw in
        (0..<raw.count / MemoryLayout<Element>.stride).map {
            raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.stride, as: type)
        }
    }
}
