import CForja
import Testing

/// One row of the engine's table of variants.
struct Variant: Hashable {
    let name: String
    let configuration: String
    let order: String
    let isDefault: Bool

    /// As the engine takes it: "name:config".
    var identifier: String { configuration.isEmpty ? name : "\(name):\(configuration)" }

    init(_ variant: forja_variant) {
        name = String(cString: variant.name)
        configuration = String(cString: variant.config)
        order = String(cString: variant.order)
        isDefault = variant.is_default
    }

    /// The variants that run a call on `device`, as the engine lists them.
    static func list(
        _ op: forja_op, on device: OpaquePointer, _ args: UnsafeRawPointer?
    ) throws -> [Variant] {
        var count = 0
        try requireOK(forja_variant_list(nil, &count, device, op, args))
        var found = [forja_variant](repeating: forja_variant(), count: count)
        try requireOK(forja_variant_list(&found, &count, device, op, args))
        #expect(count == found.count)
        return found.map(Variant.init)
    }

    /// The variant that a call takes.
    static func chosen(
        _ op: forja_op, on device: OpaquePointer, _ args: UnsafeRawPointer?
    ) throws -> Variant {
        var found = forja_variant()
        try requireOK(forja_variant_query(&found, device, op, args))
        return Variant(found)
    }
}

/// A dense product's shape; spans are empty.
func matmulArgs(
    _ layout: forja_matmul_layout, m: Int, n: Int, k: Int, _ storage: Storage = .f32
) -> forja_matmul_args {
    var args = forja_matmul_args()
    args.layout = layout
    (args.input_dtype, args.output_dtype) = (storage.dtype, storage.dtype)
    (args.m, args.n, args.k) = (UInt64(m), UInt64(n), UInt64(k))
    args.lda = UInt64(layout == FORJA_MATMUL_TN ? m : k)
    args.ldb = UInt64(layout == FORJA_MATMUL_NT ? k : n)
    args.ldc = UInt64(n)
    args.batch_count = 1
    args.alpha = 1
    return args
}

extension Target {
    /// Each OpenCL device with each row of the product's table forced that runs an ordinary product.
    static let matmulRows = rows(forcing: "FORJA_MATMUL_VARIANT") { device in
        try [FORJA_MATMUL_NN, FORJA_MATMUL_NT].flatMap { layout in
            try Storage.computing.flatMap { storage in
                var args = matmulArgs(layout, m: 1024, n: 1024, k: 1024, storage)
                return try Variant.list(FORJA_OP_MATMUL, on: device, &args)
            }
        }
    }

    /// The same of attention, forward and backward, for narrow heads.
    static let attentionRows = rows(forcing: "FORJA_ATTENTION_VARIANT") { device in
        var args = forja_attention_backward_args()
        args.forward = attentionArgs(
            AttentionShape(
                queryLength: 256, keyLength: 256, heads: 2, keyValueHeads: 2, headDim: 16), .f32)
        return try Variant.list(FORJA_OP_ATTENTION_FORWARD, on: device, &args.forward)
            + Variant.list(FORJA_OP_ATTENTION_BACKWARD, on: device, &args)
    }

    private static func rows(
        forcing variable: String, _ list: (OpaquePointer) throws -> [Variant]
    ) -> [Target] {
        TestDevice.openCL.flatMap { choice -> [Target] in
            guard let device = try? choice.open(), let found = try? list(device.device) else {
                return []
            }
            var seen: Set<String> = []
            return found.map(\.identifier).filter { seen.insert($0).inserted }.map {
                Target(device: choice, forced: Forced(variable: variable, value: $0))
            }
        }
    }
}
