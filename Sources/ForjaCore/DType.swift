/// Element type of a tensor in memory. Sums are float32 whatever the storage type.
public enum DType: String, Sendable, Codable, CaseIterable {
    case float32 = "f32"
    /// Upper half of a float32.
    case bfloat16 = "bf16"
    /// IEEE binary16; storage and casts only.
    case float16 = "f16"
    case int32 = "i32"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .float32, .int32: 4
        case .bfloat16, .float16: 2
        }
    }
}
