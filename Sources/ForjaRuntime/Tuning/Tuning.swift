import CForja
import ForjaCore

/// Choices of kernel variants by class of shapes.
///
/// A tuning exchanges variants that give the same bits; the engine passes over any other choice.
public struct Tuning: Hashable, Sendable, Codable {
    /// Calls of `operation` in `shapeClass` take `variant`.
    public struct Choice: Hashable, Sendable, Codable {
        /// "matmul".
        public var operation: String
        /// "nt f32 f32 m256 n1024 k256".
        public var shapeClass: String
        /// "cpu:8x32"; `nil` where measuring found nothing better than the default.
        public var variant: String?
        /// Seconds of one call with the variant and with the default, as measured.
        public var seconds: Double?
        public var defaultSeconds: Double?

        public init(
            operation: String, shapeClass: String, variant: String?, seconds: Double? = nil,
            defaultSeconds: Double? = nil
        ) {
            self.operation = operation
            self.shapeClass = shapeClass
            self.variant = variant
            self.seconds = seconds
            self.defaultSeconds = defaultSeconds
        }

        enum CodingKeys: String, CodingKey {
            case operation, variant, seconds
            case shapeClass = "shape_class"
            case defaultSeconds = "default_seconds"
        }
    }

    public var choices: [Choice] = []

    public init(choices: [Choice] = []) { self.choices = choices }

    /// The choice for a call's class.
    public subscript(_ call: VariantCall) -> Choice? {
        let (operation, shapeClass) = (call.operation, call.shapeClass)
        return choices.first { $0.operation == operation && $0.shapeClass == shapeClass }
    }

    /// Adds a choice, in place of the one for its class.
    public mutating func set(_ choice: Choice) {
        choices.removeAll {
            $0.operation == choice.operation && $0.shapeClass == choice.shapeClass
        }
        choices.append(choice)
    }

    /// These choices, and those of `other` for further classes.
    public func merging(_ other: Tuning) -> Tuning {
        var merged = other
        for choice in choices { merged.set(choice) }
        return merged
    }
}

/// What decides over kernels besides device and shape: part of a checkpoint, so that a resumed run
/// goes on with the kernels it began with.
public struct KernelChoices: Hashable, Sendable, Codable {
    /// Variants that the environment forces, by operation.
    public var forced: [String: String]
    public var tuning: Tuning
}

extension Device {
    /// Takes `tuning` for every following call. Not while another thread uses the device.
    public func setTuning(_ tuning: Tuning) throws(ForjaError) {
        let chosen = tuning.choices.compactMap { choice in
            choice.variant.flatMap { variant in
                Self.tunedOperations[choice.operation].map { ($0, choice.shapeClass, variant) }
            }
        }
        var texts: [UnsafeMutablePointer<CChar>] = []
        defer { for text in texts { text.deallocate() } }
        let copy = { (text: String) -> UnsafePointer<CChar> in
            let bytes = text.utf8CString
            let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
            _ = UnsafeMutableBufferPointer(start: pointer, count: bytes.count)
                .initialize(from: bytes)
            texts.append(pointer)
            return UnsafePointer(pointer)
        }
        let entries = chosen.map { operation, shapeClass, variant in
            forja_tuning_entry(
                op: operation, shape_class: copy(shapeClass), variant: copy(variant))
        }
        try engineCheck(forja_device_set_tuning(handle, entries, entries.count))
        self.tuning = tuning
    }

    /// Forces a variant of an operation on calls it can run; `nil` forces no more.
    func force(_ variant: String?, of operation: forja_op) throws(ForjaError) {
        try engineCheck(forja_device_force_variant(handle, operation, variant))
    }

    /// What decides over kernels on this device now.
    public var kernelChoices: KernelChoices {
        var forced = restoredVariants
        for (name, operation) in Self.tunedOperations {
            if let variant = forja_environment_variant(operation) {
                forced[name] = String(cString: variant)
            }
        }
        return KernelChoices(forced: forced, tuning: tuning)
    }

    /// Goes back to the choices of a checkpoint of this device. What the environment forces stays.
    public func restore(_ choices: KernelChoices) throws(ForjaError) {
        try setTuning(choices.tuning)
        for (name, variant) in choices.forced {
            guard let operation = Self.tunedOperations[name] else { continue }
            try force(variant, of: operation)
        }
        restoredVariants = choices.forced
    }

    private static var tunedOperations: [String: forja_op] {
        Dictionary(
            uniqueKeysWithValues: [
                FORJA_OP_MATMUL, FORJA_OP_ATTENTION_FORWARD, FORJA_OP_ATTENTION_BACKWARD,
                FORJA_OP_ROWS,
            ].map { (String(cString: forja_op_name($0)), $0) })
    }
}
