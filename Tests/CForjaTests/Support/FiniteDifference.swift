import Testing

/// ∂f/∂x[i] by a central difference in float64: truncation step²·f‴/6 ≈ 1e-10, cancellation ≈ 1e-11·|f|.
func centralDifference(
    of f: ([Double]) -> Double, at x: [Double], along index: Int, step: Double = 1e-5
) -> Double {
    var point = x
    point[index] = x[index] + step
    let above = f(point)
    point[index] = x[index] - step
    return (above - f(point)) / (2 * step)
}

/// Expects `gradient` to be that of the float64 function `f` at `x`, on `count` coordinates spread over it.
///
/// - Parameters:
///   - magnitude: Size of the gradient's terms, which `tolerance` is a share of.
///   - storage: What the gradient was stored as; its rounding is allowed on top.
func expectGradient(
    _ gradient: [Double], of f: ([Double]) -> Double, at x: [Double], coordinates count: Int = 12,
    within tolerance: Double, ofMagnitude magnitude: Double, as storage: Storage = .f32,
    _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(gradient.count == x.count, comment, sourceLocation: sourceLocation)
    // A stride without a common factor with the usual powers of two meets every column.
    let stride = max(1, x.count / count) | 1
    for index in Swift.stride(from: 0, to: min(x.count, gradient.count), by: stride) {
        let slope = centralDifference(of: f, at: x, along: index)
        let bound =
            tolerance * magnitude + storage.unitRoundoff * slope.magnitude
            + Tolerance.finiteDifference * max(1, magnitude)
        let error = (gradient[index] - slope).magnitude
        #expect(
            error <= bound,
            "gradient[\(index)] is \(gradient[index]), the function's slope \(slope)",
            sourceLocation: sourceLocation)
    }
}

/// Σ a·b: the scalar loss whose gradient with respect to `a` is `b`.
func dot(_ a: [Double], _ b: [Double]) -> Double {
    var sum = 0.0
    for index in a.indices { sum += a[index] * b[index] }
    return sum
}
