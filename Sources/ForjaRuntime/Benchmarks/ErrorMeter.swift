/// The relative error of a tensor: the largest distance from float64 over the largest float64 number.
struct ErrorMeter {
    private var worst = 0.0
    private var largest = 0.0

    mutating func compare(_ got: Float, with want: Double) {
        let error = (Double(got) - want).magnitude
        // NaN stays.
        if !(worst >= error), !worst.isNaN { worst = error }
        largest = max(largest, want.magnitude)
    }

    var relativeError: Double { largest > 0 ? worst / largest : worst }

    /// Of numbers that `want` gives, at `indices` of a tensor.
    static func relativeError(
        of tensor: [Float], at indices: some Sequence<Int>, _ want: (Int) -> Double
    ) -> Double {
        var meter = ErrorMeter()
        for index in indices { meter.compare(tensor[index], with: want(index)) }
        return meter.relativeError
    }
}

/// At most `limit` of 0 ..< count, evenly spread, the last one among them.
func sampled(_ count: Int, limit: Int) -> [Int] {
    guard count > limit else { return Array(0..<count) }
    return (1...limit).map { $0 * count / limit - 1 }
}
