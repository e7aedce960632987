import CForja
import ForjaCore
import Foundation

// The sums and the update at the end of a step. All in float32.

extension forja_sum_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_sum }
    var operation: String { "sum" }
    var storage: forja_dtype { FORJA_DTYPE_F32 }
    var shape: String { "\(count)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        x = try operands.place("x", Int(count), storage, .reads, .positive)
        out = try operands.place("out", 1, storage, accumulate ? .updates : .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, out) = (operands["x"], try operands.result("out"))
        let start = accumulate ? Double(operands["out"][0]) : 0
        return ErrorMeter.relativeError(of: out, at: [0]) { _ in
            start + Double(scale) * x.reduce(0) { $0 + Double($1) }
        }
    }
}

extension forja_sum_squares_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_sum_squares
    }
    var operation: String { "sum_squares" }
    var storage: forja_dtype { FORJA_DTYPE_F32 }
    var shape: String { "\(count)" }
    private var chunk: Int { Int(FORJA_SUM_SQUARES_CHUNK) }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        x = try operands.place("x", Int(count), storage, .reads)
        partials = try operands.place(
            "partials", (Int(count) + chunk - 1) / chunk, storage, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, partials) = (operands["x"], try operands.result("partials"))
        return ErrorMeter.relativeError(of: partials, at: sampled(partials.count, limit: 64)) {
            let range = $0 * chunk..<min(($0 + 1) * chunk, x.count)
            return x[range].reduce(0) { $0 + Double($1) * Double($1) }
        }
    }
}

extension forja_gradient_norm_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_gradient_norm
    }
    var operation: String { "gradient_norm" }
    var storage: forja_dtype { FORJA_DTYPE_F32 }
    var shape: String { "\(partial_count)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        partials = try operands.place(
            "partials", Int(partial_count), storage, .reads, .positive)
        scalars = try operands.placeStepScalars(.updates)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (partials, start) = (operands["partials"], operands["scalars"])
        let result = try operands.result("scalars")
        let total = partials.reduce(0) { $0 + Double($1) }
        let place = StepScalar.gradientNorm.rawValue
        return ErrorMeter.relativeError(of: result, at: [place]) { _ in
            total.squareRoot() * Double(start[StepScalar.gradientScale.rawValue])
        }
    }
}

extension forja_adamw_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_adamw }
    var operation: String { "adamw" }
    /// bf16 where the update rewrites a bf16 copy; moments and masters are f32 in any case.
    var storage: forja_dtype { weight_bf16.buffer != nil ? FORJA_DTYPE_BF16 : FORJA_DTYPE_F32 }
    var shape: String { "\(count)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let (f32, count) = (FORJA_DTYPE_F32, Int(count))
        weight = try operands.place("weight", count, f32, .updates)
        if weight_bf16.buffer != nil {
            weight_bf16 = try operands.place("weight_bf16", count, FORJA_DTYPE_BF16, .writes)
        }
        gradient = try operands.place("gradient", count, f32, .reads)
        m = try operands.place("m", count, f32, .updates)
        v = try operands.place("v", count, f32, .updates, .positive)
        scalars = try operands.placeStepScalars(.reads)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (weight, gradient) = (operands["weight"], operands["gradient"])
        let (m, v, scalars) = (operands["m"], operands["v"], operands["scalars"])
        func scalar(_ scalar: StepScalar) -> Double { Double(scalars[scalar.rawValue]) }
        let (b1, b2) = (Double(beta1), Double(beta2))
        let result = try operands.result("weight")
        return ErrorMeter.relativeError(of: result, at: sampled(result.count, limit: 20_000)) { i in
            let g = scalar(.updateScale) * Double(gradient[i])
            let first = b1 * Double(m[i]) + (1 - b1) * g
            let second = b2 * Double(v[i]) + (1 - b2) * g * g
            let kept = Double(weight[i]) * (1 - scalar(.learningRate) * Double(weight_decay))
            let divisor =
                second.squareRoot() / scalar(.biasCorrection2).squareRoot() + Double(epsilon)
            return kept - scalar(.learningRate) / scalar(.biasCorrection1) * first / divisor
        }
    }
}

extension KernelOperands {
    /// Step scalars of an early step of a finite run.
    fileprivate func placeStepScalars(_ access: Access) throws(ForjaError) -> forja_span {
        var values = [Float](repeating: 0, count: StepScalar.count)
        let known: [StepScalar: Float] = [
            .learningRate: 1e-3, .biasCorrection1: 0.5, .biasCorrection2: 0.25,
            .gradientScale: 0.5, .maxNorm: 1, .updateScale: 0.5, .isFinite: 1,
        ]
        for (scalar, value) in known { values[scalar.rawValue] = value }
        return try place("scalars", values.count, FORJA_DTYPE_F32, access, .given(values))
    }
}
