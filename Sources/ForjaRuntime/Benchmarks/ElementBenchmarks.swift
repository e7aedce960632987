import CForja
import ForjaCore
import Foundation

// Operations on each element by itself.

extension forja_rope_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_rope }
    var operation: String { inverse ? "rope_backward" : "rope_forward" }
    var storage: forja_dtype { dtype }
    /// "2048x12x32": rows × turned heads × head width.
    var shape: String { "\(rows)x\(heads)x\(head_dim)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let table = Int(position_count) * Int(head_dim) / 2
        x = try operands.place(
            "x", Int(rows * row_stride), dtype, .updates,
            moved: Int(rows) * Int(heads * head_dim))
        // Every angle is as good as another.
        let angles = (0..<table).map { Double($0 % 1000) * 0.001 * 2 * .pi }
        cosine = try operands.place(
            "cosine", table, FORJA_DTYPE_F32, .reads, .given(angles.map { Float(cos($0)) }))
        sine = try operands.place(
            "sine", table, FORJA_DTYPE_F32, .reads, .given(angles.map { Float(sin($0)) }))
        if positions.buffer != nil {
            positions = try operands.place(
                "positions", Int(rows), FORJA_DTYPE_I32, .reads, .below(Int(position_count)))
        }
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, cosine, sine) = (operands["x"], operands["cosine"], operands["sine"])
        let positions = positions.buffer != nil ? operands["positions"] : []
        let (result, half) = (try operands.result("x"), Int(head_dim) / 2)
        var meter = ErrorMeter()
        for row in sampled(Int(rows), limit: 64) {
            let position =
                positions.isEmpty ? row % Int(sequence_length) : Int(positions[row])
            for head in 0..<Int(heads) {
                for i in 0..<half {
                    let at = row * Int(row_stride) + head * 2 * half + i
                    let c = Double(cosine[position * half + i])
                    let s = Double(sine[position * half + i]) * (inverse ? -1 : 1)
                    let (low, high) = (Double(x[at]), Double(x[at + half]))
                    meter.compare(result[at], with: low * c - high * s)
                    meter.compare(result[at + half], with: high * c + low * s)
                }
            }
        }
        return meter.relativeError
    }
}

extension forja_swiglu_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_swiglu_forward
    }
    var operation: String { "swiglu_forward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        x = try operands.place("x", Int(2 * rows * width), dtype, .reads)
        y = try operands.place("y", Int(rows * width), dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, y, width) = (operands["x"], try operands.result("y"), Int(width))
        return ErrorMeter.relativeError(of: y, at: sampled(y.count, limit: 20_000)) { index in
            let gate = index / width * 2 * width + index % width
            return Double(x[gate]) * sigmoid(Double(x[gate])) * Double(x[gate + width])
        }
    }
}

extension forja_swiglu_backward_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_swiglu_backward
    }
    var operation: String { "swiglu_backward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        x = try operands.place("x", Int(2 * rows * width), dtype, .reads)
        dy = try operands.place("dy", Int(rows * width), dtype, .reads)
        dx = try operands.place("dx", Int(2 * rows * width), dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, dy, width) = (operands["x"], operands["dy"], Int(width))
        let dx = try operands.result("dx")
        return ErrorMeter.relativeError(of: dx, at: sampled(dx.count, limit: 20_000)) { index in
            let (row, column) = (index / (2 * width), index % (2 * width))
            let gate = Double(x[row * 2 * width + column % width])
            let up = Double(x[row * 2 * width + width + column % width])
            let slope = Double(dy[row * width + column % width])
            let s = sigmoid(gate)
            return column < width
                ? slope * up * s * (1 + gate * (1 - s)) : slope * gate * s
        }
    }
}

private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

extension forja_add_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_add }
    var operation: String { "add" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(count)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        a = try operands.place("a", Int(count), dtype, .reads)
        b = try operands.place("b", Int(count), dtype, .reads)
        y = try operands.place("y", Int(count), dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (a, b, y) = (operands["a"], operands["b"], try operands.result("y"))
        return ErrorMeter.relativeError(of: y, at: y.indices) { Double(a[$0]) + Double(b[$0]) }
    }
}

extension forja_cast_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status { forja_cast }
    var operation: String { "cast" }
    var storage: forja_dtype { from }
    /// "1048576 to bf16".
    var shape: String { "\(count) to \(DType(to).rawValue)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        source = try operands.place("source", Int(count), from, .reads)
        destination = try operands.place("destination", Int(count), to, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (source, result) = (operands["source"], try operands.result("destination"))
        return ErrorMeter.relativeError(of: result, at: result.indices) { Double(source[$0]) }
    }
}
