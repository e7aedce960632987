import CForja
import ForjaCore
import Foundation

// Operations over rows: statistics of a row, or a row looked up.

extension forja_rmsnorm_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_rmsnorm_forward
    }
    var operation: String { "rmsnorm_forward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let count = Int(rows * width)
        x = try operands.place("x", count, dtype, .reads)
        weight = try operands.place("weight", Int(width), dtype, .reads, .positive)
        y = try operands.place("y", count, dtype, .writes)
        rstd = try operands.place("rstd", Int(rows), FORJA_DTYPE_F32, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, weight, width) = (operands["x"], operands["weight"], Int(width))
        let y = try operands.result("y")
        var meter = ErrorMeter()
        for row in sampled(Int(rows), limit: 64) {
            let scale = Self.rstd(x, row, width, epsilon)
            for c in 0..<width {
                meter.compare(
                    y[row * width + c],
                    with: Double(x[row * width + c]) * scale * Double(weight[c]))
            }
        }
        return meter.relativeError
    }

    fileprivate static func rstd(
        _ x: [Float], _ row: Int, _ width: Int, _ epsilon: Float
    ) -> Double {
        var squares = 0.0
        for c in 0..<width { squares += Double(x[row * width + c]) * Double(x[row * width + c]) }
        return 1 / (squares / Double(width) + Double(epsilon)).squareRoot()
    }
}

extension forja_rmsnorm_backward_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_rmsnorm_backward
    }
    var operation: String { "rmsnorm_backward" }
    var storage: forja_dtype { dtype }
    /// "+=" where dx is added to the residual's gradient.
    var shape: String { "\(rows)x\(width)\(accumulate_dx ? " +=" : "")" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let count = Int(rows * width)
        x = try operands.place("x", count, dtype, .reads)
        weight = try operands.place("weight", Int(width), dtype, .reads, .positive)
        rstd = try operands.place("rstd", Int(rows), FORJA_DTYPE_F32, .reads, .positive)
        dy = try operands.place("dy", count, dtype, .reads)
        dx = try operands.place("dx", count, dtype, accumulate_dx ? .updates : .writes)
        d_weight = try operands.place(
            "d_weight", Int(width), FORJA_DTYPE_F32, accumulate_d_weight ? .updates : .writes)
    }

    /// `rstd` is an input: any positive number will do.
    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, weight, dy) = (operands["x"], operands["weight"], operands["dy"])
        let (rstd, start, width) = (operands["rstd"], operands["dx"], Int(width))
        let dx = try operands.result("dx")
        var meter = ErrorMeter()
        for row in sampled(Int(rows), limit: 64) {
            let at = row * width
            let scale = Double(rstd[row])
            var mean = 0.0
            for c in 0..<width {
                mean += Double(weight[c]) * Double(dy[at + c]) * Double(x[at + c])
            }
            mean /= Double(width)
            for c in 0..<width {
                let slope = Double(weight[c]) * Double(dy[at + c])
                let want = scale * (slope - Double(x[at + c]) * scale * scale * mean)
                meter.compare(
                    dx[at + c], with: want + (accumulate_dx ? Double(start[at + c]) : 0))
            }
        }
        let (startWeight, dWeight) = (operands["d_weight"], try operands.result("d_weight"))
        let weightError = ErrorMeter.relativeError(
            of: dWeight, at: sampled(width, limit: 16)
        ) { c in
            var sum = accumulate_d_weight ? Double(startWeight[c]) : 0
            for row in 0..<Int(rows) {
                let at = row * width + c
                sum += Double(dy[at]) * Double(x[at]) * Double(rstd[row])
            }
            return sum
        }
        return max(meter.relativeError, weightError)
    }
}

extension forja_softmax_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_softmax_forward
    }
    var operation: String { "softmax_forward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        x = try operands.place("x", Int(rows * width), dtype, .reads)
        y = try operands.place("y", Int(rows * width), dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (x, y, width) = (operands["x"], try operands.result("y"), Int(width))
        var meter = ErrorMeter()
        for row in sampled(Int(rows), limit: 16) {
            let powers = x[row * width..<(row + 1) * width].map { exp(Double($0)) }
            let total = powers.reduce(0, +)
            for c in 0..<width { meter.compare(y[row * width + c], with: powers[c] / total) }
        }
        return meter.relativeError
    }
}

extension forja_softmax_backward_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_softmax_backward
    }
    var operation: String { "softmax_backward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let count = Int(rows * width)
        y = try operands.place("y", count, dtype, .reads, .positive)
        dy = try operands.place("dy", count, dtype, .reads)
        dx = try operands.place("dx", count, dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (y, dy, width) = (operands["y"], operands["dy"], Int(width))
        let dx = try operands.result("dx")
        var meter = ErrorMeter()
        for row in sampled(Int(rows), limit: 16) {
            let at = row * width
            var total = 0.0
            for c in 0..<width { total += Double(dy[at + c]) * Double(y[at + c]) }
            for c in 0..<width {
                meter.compare(dx[at + c], with: Double(y[at + c]) * (Double(dy[at + c]) - total))
            }
        }
        return meter.relativeError
    }
}

extension forja_log_probability_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_log_probability
    }
    var operation: String { "log_probability" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(vocabulary)" }
    private var makesGradient: Bool { gradient.buffer != nil }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let rows = Int(rows)
        let f32 = FORJA_DTYPE_F32
        logits = try operands.place(
            "logits", rows * Int(row_stride), dtype, makesGradient ? .updates : .reads)
        labels = try operands.place(
            "labels", rows, FORJA_DTYPE_I32, .reads, .below(Int(vocabulary)))
        log_probability = try operands.place("log_probability", rows, f32, .writes)
        if lse.buffer != nil { lse = try operands.place("lse", rows, f32, .writes) }
        if entropy.buffer != nil { entropy = try operands.place("entropy", rows, f32, .writes) }
        if makesGradient { gradient = try operands.place("gradient", rows, f32, .reads) }
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (logits, labels) = (operands["logits"], operands["labels"])
        let gradient = makesGradient ? operands["gradient"] : []
        let slopes = makesGradient ? try operands.result("logits") : []
        let result = try operands.result("log_probability")
        var values = ErrorMeter()
        var slopeMeter = ErrorMeter()
        for row in sampled(Int(rows), limit: 16) {
            let at = row * Int(row_stride)
            let label = Int(labels[row])
            let scaled = (0..<Int(vocabulary)).map { Double(logit_scale) * Double(logits[at + $0]) }
            let total = scaled.reduce(0) { $0 + exp($1) }
            values.compare(result[row], with: scaled[label] - log(total))
            guard makesGradient else { continue }
            let scale = Double(logit_scale) * Double(gradient[row])
            for v in scaled.indices {
                slopeMeter.compare(
                    slopes[at + v], with: scale * ((v == label ? 1 : 0) - exp(scaled[v]) / total))
            }
        }
        return max(values.relativeError, slopeMeter.relativeError)
    }
}

extension forja_embedding_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_embedding_forward
    }
    var operation: String { "embedding_forward" }
    var storage: forja_dtype { dtype }
    /// "2048x256 of 4096": rows × width, and the rows of the table.
    var shape: String { "\(rows)x\(width) of \(table_rows)" }

    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let count = Int(rows * width)
        table = try operands.place(
            "table", Int(table_rows * width), dtype, .reads, moved: count)
        ids = try operands.place(
            "ids", Int(rows), FORJA_DTYPE_I32, .reads, .below(Int(table_rows)))
        y = try operands.place("y", count, dtype, .writes)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (table, ids, width) = (operands["table"], operands["ids"], Int(width))
        let y = try operands.result("y")
        return ErrorMeter.relativeError(of: y, at: y.indices) { index in
            Double(table[Int(ids[index / width]) * width + index % width])
        }
    }
}

extension forja_embedding_backward_args: KernelArguments {
    static var function: (OpaquePointer?, UnsafePointer<Self>?) -> forja_status {
        forja_embedding_backward
    }
    var operation: String { "embedding_backward" }
    var storage: forja_dtype { dtype }
    var shape: String { "\(rows)x\(width) of \(table_rows)\(accumulate ? " +=" : "")" }

    /// Adding touches the rows that have an id; overwriting clears the table first.
    mutating func place(in operands: KernelOperands) throws(ForjaError) {
        let count = Int(rows * width)
        dy = try operands.place("dy", count, dtype, .reads)
        ids = try operands.place(
            "ids", Int(rows), FORJA_DTYPE_I32, .reads, .below(Int(table_rows)))
        let touched = Set(operands["ids"]).count * Int(width)
        d_table = try operands.place(
            "d_table", Int(table_rows * width), FORJA_DTYPE_F32, accumulate ? .updates : .writes,
            moved: accumulate ? touched : nil)
    }

    func error(in operands: KernelOperands) throws(ForjaError) -> Double {
        let (dy, ids, start) = (operands["dy"], operands["ids"], operands["d_table"])
        let (result, width) = (try operands.result("d_table"), Int(width))
        var rowsOf: [Int: [Int]] = [:]
        for (row, id) in ids.enumerated() { rowsOf[Int(id), default: []].append(row) }
        let places = sampled(ids.count, limit: 64).flatMap { row in
            (0..<width).map { Int(ids[row]) * width + $0 }
        }
        return ErrorMeter.relativeError(of: result, at: places) { index in
            (rowsOf[index / width] ?? []).reduce(accumulate ? Double(start[index]) : 0) {
                $0 + Double(dy[$1 * width + index % width])
            }
        }
    }
}
