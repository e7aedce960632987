/// Largest |a − b| over two lists of equal length.
public func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    precondition(a.count == b.count)
    return zip(a, b).reduce(0) { max($0, ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1)) }
}

/// ‖a − b‖ / ‖b‖, in float64.
public func relativeNorm(_ a: [Float], _ b: [Float]) -> Double {
    precondition(a.count == b.count)
    var difference = 0.0
    var reference = 0.0
    for (x, y) in zip(a, b) {
        difference += (Double(x) - Double(y)) * (Double(x) - Double(y))
        reference += Double(y) * Double(y)
    }
    let ratio = (difference / max(reference, 1e-300)).squareRoot()
    return ratio.isNaN ? .infinity : ratio
}
