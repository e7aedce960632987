import CForja

/// One operation with small valid arguments, and the ways to spoil them.
struct OperationCall: @unchecked Sendable, CustomStringConvertible {
    /// What a test does to the valid arguments before the call.
    enum Change {
        case none
        case nullArguments
        /// The span of this name becomes another.
        case span(String, forja_span)
        /// The size of this name becomes another.
        case size(String, UInt64)
        /// The element type of this name becomes another.
        case dtype(String, forja_dtype)
    }

    let name: String
    let required: [String]
    let optional: [String]
    let sizes: [String]
    /// Sizes at which the operation has nothing to do.
    let emptying: [String]
    let dtypes: [String]
    /// Calls on `queue` with every operand at a place of its own in `buffer`.
    let run: (_ queue: OpaquePointer?, _ buffer: OpaquePointer, Change) -> forja_status

    var description: String { name }
    var spans: [String] { required + optional }

    /// Bytes that `buffer` must hold: every operand takes one place.
    static let bufferBytes = 64 * placeBytes
    private static let placeBytes = 4096

    /// How a test reaches the fields of an argument struct, by the names in the C header.
    struct Fields<Args> {
        var required: [(String, WritableKeyPath<Args, forja_span>)] = []
        var optional: [(String, WritableKeyPath<Args, forja_span>)] = []
        var sizes: [(String, (inout Args, UInt64) -> Void)] = []
        var emptying: [String] = []
        var dtypes: [(String, WritableKeyPath<Args, forja_dtype>)] = []
    }

    init<Args>(
        _ name: String,
        _ function: @escaping (OpaquePointer?, UnsafePointer<Args>?) -> forja_status,
        valid: Args, fields: Fields<Args>
    ) {
        self.name = name
        required = fields.required.map(\.0)
        optional = fields.optional.map(\.0)
        sizes = fields.sizes.map(\.0)
        emptying = fields.emptying
        dtypes = fields.dtypes.map(\.0)
        run = { queue, buffer, change in
            var args = valid
            for (index, (_, path)) in (fields.required + fields.optional).enumerated() {
                args[keyPath: path] = forja_span(
                    buffer: buffer, offset: UInt64(index * Self.placeBytes / 4))
            }
            switch change {
            case .none: break
            case .nullArguments: return function(queue, nil)
            case .span(let name, let span):
                let path = (fields.required + fields.optional).first { $0.0 == name }!.1
                args[keyPath: path] = span
            case .size(let name, let size): fields.sizes.first { $0.0 == name }!.1(&args, size)
            case .dtype(let name, let dtype):
                args[keyPath: fields.dtypes.first { $0.0 == name }!.1] = dtype
            }
            return withUnsafePointer(to: args) { function(queue, $0) }
        }
    }
}
