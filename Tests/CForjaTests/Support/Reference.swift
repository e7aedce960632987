import Foundation

/// Operations in float64, written from the formulas of the public headers and from nothing else.
///
/// Where a result is a sum, `magnitudes` carries Σ|term| beside it: what rounding is a share of.
enum Reference {
    struct Sums {
        var values: [Double]
        var magnitudes: [Double]

        /// Adds one more term to every element: what an accumulating operation found there.
        mutating func add(_ old: [Double]) {
            for index in old.indices {
                values[index] += old[index]
                magnitudes[index] += old[index].magnitude
            }
        }
    }
}

// MARK: Matrix product

extension Reference {
    /// C = alpha · op(A) · op(B) for one pair of dense matrices; layout as in forja_matmul.h.
    static func matmul(
        _ layout: MatmulLayout, m: Int, n: Int, k: Int, a: [Double], b: [Double],
        alpha: Double = 1
    ) -> Sums {
        var sums = Sums(
            values: [Double](repeating: 0, count: m * n),
            magnitudes: [Double](repeating: 0, count: m * n))
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for row in 0..<m {
                    for column in 0..<n {
                        var sum = 0.0
                        var magnitude = 0.0
                        for inner in 0..<k {
                            let left = layout == .tn ? a[inner * m + row] : a[row * k + inner]
                            let right =
                                layout == .nt ? b[column * k + inner] : b[inner * n + column]
                            sum += left * right
                            magnitude += (left * right).magnitude
                        }
                        sums.values[row * n + column] = alpha * sum
                        sums.magnitudes[row * n + column] = alpha.magnitude * magnitude
                    }
                }
            }
        }
        return sums
    }
}

// MARK: Rows

extension Reference {
    /// y = x · rstd · weight over rows of `weight.count`.
    static func rmsNorm(
        _ x: [Double], weight: [Double], epsilon: Double
    ) -> (y: [Double], rstd: [Double]) {
        let width = weight.count
        var y = x
        var rstd: [Double] = []
        for row in 0..<x.count / width {
            let range = row * width..<(row + 1) * width
            let square = x[range].reduce(0) { $0 + $1 * $1 }
            let scale = 1 / (square / Double(width) + epsilon).squareRoot()
            rstd.append(scale)
            for (column, index) in range.enumerated() {
                y[index] = x[index] * scale * weight[column]
            }
        }
        return (y, rstd)
    }

    /// dx = rstd · (w·dy − x · rstd² · mean(w·dy·x)), d_weight = Σ over rows of dy · x · rstd.
    static func rmsNormBackward(
        _ x: [Double], weight: [Double], rstd: [Double], dy: [Double]
    ) -> (dx: Sums, dWeight: Sums) {
        let width = weight.count
        var dx = Sums(values: x, magnitudes: x)
        var dWeight = Sums(
            values: [Double](repeating: 0, count: width),
            magnitudes: [Double](repeating: 0, count: width))
        for row in rstd.indices {
            let r = rstd[row]
            var mean = 0.0
            var meanMagnitude = 0.0
            for column in 0..<width {
                let index = row * width + column
                let term = weight[column] * dy[index] * x[index] / Double(width)
                mean += term
                meanMagnitude += term.magnitude
                dWeight.values[column] += dy[index] * x[index] * r
                dWeight.magnitudes[column] += (dy[index] * x[index] * r).magnitude
            }
            for column in 0..<width {
                let index = row * width + column
                let direct = weight[column] * dy[index]
                dx.values[index] = r * (direct - x[index] * r * r * mean)
                dx.magnitudes[index] =
                    r * (direct.magnitude + x[index].magnitude * r * r * meanMagnitude)
            }
        }
        return (dx, dWeight)
    }

    /// exp(x − max) / Σ exp(x − max) per row; 0 for a row of −∞.
    static func softmax(_ x: [Double], width: Int) -> [Double] {
        var y = x
        for start in stride(from: 0, to: x.count, by: width) {
            let largest = x[start..<start + width].max()!
            var sum = 0.0
            for index in start..<start + width {
                y[index] = largest == -.infinity ? 0 : exp(x[index] - largest)
                sum += y[index]
            }
            for index in start..<start + width where sum > 0 { y[index] /= sum }
        }
        return y
    }

    /// dx = y · (dy − Σ dy·y) per row.
    static func softmaxBackward(_ y: [Double], dy: [Double], width: Int) -> Sums {
        var dx = Sums(values: y, magnitudes: y)
        for start in stride(from: 0, to: y.count, by: width) {
            var inner = 0.0
            var innerMagnitude = 0.0
            for index in start..<start + width {
                inner += dy[index] * y[index]
                innerMagnitude += (dy[index] * y[index]).magnitude
            }
            for index in start..<start + width {
                dx.values[index] = y[index] * (dy[index] - inner)
                dx.magnitudes[index] = y[index].magnitude * (dy[index].magnitude + innerMagnitude)
            }
        }
        return dx
    }

    /// silu(gate) · up; row r of x holds gate in its first half and up in its second.
    static func swiGLU(_ x: [Double], width: Int) -> [Double] {
        (0..<x.count / 2).map { index in
            let start = index / width * 2 * width + index % width
            return silu(x[start]) * x[start + width]
        }
    }

    static func swiGLUBackward(_ x: [Double], dy: [Double], width: Int) -> Sums {
        var dx = Sums(values: x, magnitudes: x)
        for index in dy.indices {
            let gateIndex = index / width * 2 * width + index % width
            let gate = x[gateIndex]
            let up = x[gateIndex + width]
            let sigmoid = 1 / (1 + exp(-gate))
            dx.values[gateIndex] = dy[index] * up * sigmoid * (1 + gate * (1 - sigmoid))
            dx.magnitudes[gateIndex] =
                (dy[index] * up).magnitude * sigmoid * (1 + gate.magnitude * (1 - sigmoid))
            dx.values[gateIndex + width] = dy[index] * silu(gate)
            dx.magnitudes[gateIndex + width] = (dy[index] * silu(gate)).magnitude
        }
        return dx
    }

    static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

    /// Turns pair (i, i + D/2) of each of `heads` heads by the row's angle i; rows are dense.
    static func rope(
        _ x: [Double], heads: Int, headDim: Int, positions: [Int], cosine: [Double],
        sine: [Double], inverse: Bool
    ) -> [Double] {
        let half = headDim / 2
        var y = x
        for (row, position) in positions.enumerated() {
            for head in 0..<heads {
                for pair in 0..<half {
                    let first = (row * heads + head) * headDim + pair
                    let c = cosine[position * half + pair]
                    let s = sine[position * half + pair] * (inverse ? -1 : 1)
                    y[first] = x[first] * c - x[first + half] * s
                    y[first + half] = x[first + half] * c + x[first] * s
                }
            }
        }
        return y
    }
}
