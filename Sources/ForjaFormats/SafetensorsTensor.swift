import ForjaCore

/// Element type of a tensor in a safetensors file.
///
/// The cases stand in the order of the format's own list, which its Python writer sorts tensors
/// by, widest last; types narrower than a byte are not supported.
public enum SafetensorsDType: String, Sendable, CaseIterable, Comparable {
    case bool = "BOOL"
    case uint8 = "U8"
    case int8 = "I8"
    case float8e5m2 = "F8_E5M2"
    case float8e4m3 = "F8_E4M3"
    case int16 = "I16"
    case uint16 = "U16"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int32 = "I32"
    case uint32 = "U32"
    case float32 = "F32"
    case float64 = "F64"
    case int64 = "I64"
    case uint64 = "U64"

    public init(_ dtype: DType) {
        self =
            switch dtype {
            case .float32: .float32
            case .bfloat16: .bfloat16
            case .float16: .float16
            case .int32: .int32
            }
    }

    /// The engine's type of the same bytes; `nil` where it has none.
    public var engineDType: DType? {
        switch self {
        case .float32: .float32
        case .bfloat16: .bfloat16
        case .float16: .float16
        case .int32: .int32
        default: nil
        }
    }

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .bool, .uint8, .int8, .float8e5m2, .float8e4m3: 1
        case .int16, .uint16, .float16, .bfloat16: 2
        case .int32, .uint32, .float32: 4
        case .float64, .int64, .uint64: 8
        }
    }

    public static func < (left: Self, right: Self) -> Bool {
        func place(_ type: Self) -> Int { allCases.firstIndex(of: type) ?? 0 }
        return place(left) < place(right)
    }
}

/// Name, type and extents of a tensor in a safetensors file.
public struct SafetensorsTensor: Sendable, Hashable {
    public let name: String
    public let dtype: SafetensorsDType
    /// Row-major, outermost first; empty for a scalar.
    public let shape: Shape

    public init(name: String, dtype: SafetensorsDType, shape: Shape) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
    }

    /// Bytes of all elements; `nil` where the product passes 2^63 or an extent is negative, which
    /// only a damaged header can say.
    public var byteCount: Int? {
        var product = dtype.byteCount
        if shape.dimensions.contains(where: { $0 < 0 }) { return nil }
        // A zero extent makes the product 0 whatever the others are.
        if shape.dimensions.contains(0) { return 0 }
        for extent in shape.dimensions {
            let (next, overflows) = product.multipliedReportingOverflow(by: extent)
            if overflows { return nil }
            product = next
        }
        return product
    }
}
