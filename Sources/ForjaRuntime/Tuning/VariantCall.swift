import CForja
import ForjaCore

/// A kernel variant with one of its configurations, as the engine's table lists it for a call.
public struct KernelVariant: Hashable, Sendable {
    /// "gpu:64x64x16", or "ref" where there is one configuration.
    public let identifier: String
    /// Variants of one order give the same bits on a device.
    public let order: String
    /// Taken when nothing is forced and nothing tuned.
    public let isDefault: Bool
    /// Meant for such a device; the others run, slowly.
    public let isMadeForDevice: Bool

    package init(identifier: String, order: String, isDefault: Bool, isMadeForDevice: Bool = true) {
        self.identifier = identifier
        self.order = order
        self.isDefault = isDefault
        self.isMadeForDevice = isMadeForDevice
    }

    init(_ variant: forja_variant) {
        let configuration = String(cString: variant.config)
        self.init(
            identifier: String(cString: variant.name)
                + (configuration.isEmpty ? "" : ":\(configuration)"),
            order: String(cString: variant.order), isDefault: variant.is_default,
            isMadeForDevice: variant.is_made_for_device)
    }
}

/// A call of an operation that has variants: its shape, without buffers.
public struct VariantCall {
    enum Arguments {
        case matmul(forja_matmul_args)
        case attentionForward(forja_attention_args)
        case attentionBackward(forja_attention_backward_args)
    }

    let arguments: Arguments

    /// `nil` for arguments of an operation with one form.
    init?(_ arguments: Any) {
        switch arguments {
        case let arguments as forja_matmul_args: self.arguments = .matmul(arguments)
        case let arguments as forja_attention_args: self.arguments = .attentionForward(arguments)
        case let arguments as forja_attention_backward_args:
            self.arguments = .attentionBackward(arguments)
        default: return nil
        }
    }

    var operationCode: forja_op {
        switch arguments {
        case .matmul: FORJA_OP_MATMUL
        case .attentionForward: FORJA_OP_ATTENTION_FORWARD
        case .attentionBackward: FORJA_OP_ATTENTION_BACKWARD
        }
    }

    /// "matmul", "attention_forward", "attention_backward".
    public var operation: String { String(cString: forja_op_name(operationCode)) }

    /// The class of shapes that the engine keeps tunings by: "nt f32 f32 m256 n1024 k256".
    public var shapeClass: String {
        var text = [CChar](repeating: 0, count: Int(FORJA_SHAPE_CLASS_SIZE))
        let status = withPointer { forja_shape_class(&text, operationCode, $0) }
        precondition(status == FORJA_OK, "a call's operation is known")
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The shape itself: "2048×768×256".
    public var shape: String {
        switch arguments {
        case .matmul(let x): "\(x.m)×\(x.n)×\(x.k)"
        case .attentionForward(let x): Self.shape(x)
        case .attentionBackward(let x): Self.shape(x.forward)
        }
    }

    private static func shape(_ x: forja_attention_args) -> String {
        "B\(x.batch) T\(x.query_length) S\(x.key_length) H\(x.heads) G\(x.key_value_heads) "
            + "D\(x.head_dim)"
    }

    /// Floating-point operations of the call; half of the score matrix in attention.
    var flops: Double {
        switch arguments {
        case .matmul(let x):
            2 * Double(x.m) * Double(x.n) * Double(x.k) * Double(x.batch_count)
        case .attentionForward(let x): Self.flops(x)
        case .attentionBackward(let x): 2.5 * Self.flops(x.forward)
        }
    }

    private static func flops(_ x: forja_attention_args) -> Double {
        2 * Double(x.batch) * Double(x.heads) * Double(x.query_length) * Double(x.key_length)
            * Double(x.head_dim)
    }

    func withPointer<Result>(_ body: (UnsafeRawPointer) -> Result) -> Result {
        switch arguments {
        case .matmul(let values): withUnsafePointer(to: values) { body($0) }
        case .attentionForward(let values): withUnsafePointer(to: values) { body($0) }
        case .attentionBackward(let values): withUnsafePointer(to: values) { body($0) }
        }
    }

    /// The variants that run the call on `device`, as the table has them.
    public func variants(on device: Device) throws(ForjaError) -> [KernelVariant] {
        var count = 0
        try engineCheck(
            withPointer { forja_variant_list(nil, &count, device.handle, operationCode, $0) })
        var found = [forja_variant](repeating: forja_variant(), count: count)
        try engineCheck(
            withPointer { forja_variant_list(&found, &count, device.handle, operationCode, $0) })
        return found.map(KernelVariant.init)
    }

    /// The variant that the call takes on `device` now.
    public func variant(on device: Device) throws(ForjaError) -> KernelVariant {
        var found = forja_variant()
        try engineCheck(
            withPointer { forja_variant_query(&found, device.handle, operationCode, $0) })
        return KernelVariant(found)
    }
}
