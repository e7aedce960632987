import Dispatch
import ForjaCore
import ForjaNN
import ForjaRuntime

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension LlamaModel {
    /// Fills every parameter from a seed: norms with 1, matrices with N(0, σ²), σ the configuration's initial range;
    /// the two projections that write into the residual stream with σ / √(2L) (Radford and others, 2019, §2.3).
    ///
    /// A number depends on seed, parameter and place in the whole parameter alone, not on the order or number of threads
    /// or ranks: each rank of a tensor group gets its slice of what one device would have.
    public func initialize(seed: UInt64, on queue: Queue) throws(ForjaError) {
        let sigma = configuration.initializerRange
        let residualSigma = sigma / Float(2 * configuration.layers).squareRoot()
        for (index, parameter) in parameters.enumerated() {
            let writesResidual =
                parameter.name.hasSuffix("attention_output") || parameter.name.hasSuffix("down")
            let random = CounterRandom(seed: seed, purpose: .weights, stream: UInt32(index))
            let values =
                parameter.isMatrix
                ? slice(of: parameter).segments.flatMap {
                    normalValues(
                        at: $0.whole, standardDeviation: writesResidual ? residualSigma : sigma,
                        random: random)
                } : [Float](repeating: 1, count: parameter.shape.elementCount)
            try write(values, to: parameter, on: queue)
        }
    }

    /// Writes a parameter's float32 values to its master and to the copy kernels read.
    package func write(
        _ values: [Float], to parameter: Parameter, on queue: Queue
    ) throws(ForjaError) {
        if parameter.master !== parameter.compute {
            try parameter.master.write(values, on: queue)
        }
        if parameter.compute.dtype == .float32 {
            try parameter.compute.write(values, on: queue)
        } else {
            try parameter.compute.write(values.map(bfloat16Bits), on: queue)
        }
    }
}

/// Normal numbers by the Box-Muller transform, two from each counter value, made on all cores.
///
/// - Parameter places: Which of the sequence's numbers.
func normalValues(
    at places: Range<Int>, standardDeviation: Float, random: CounterRandom
) -> [Float] {
    [Float](unsafeUninitializedCapacity: places.count) { buffer, initialized in
        let firstPair = places.lowerBound / 2
        let pairs = (places.upperBound + 1) / 2 - firstPair
        let share = 1 << 14
        // Each share writes numbers of its own.
        nonisolated(unsafe) let buffer = buffer
        DispatchQueue.concurrentPerform(iterations: (pairs + share - 1) / share) { number in
            for pair in firstPair + number * share..<firstPair + min((number + 1) * share, pairs) {
                let words = random.words(at: UInt64(pair))
                // (0, 1]: the logarithm never sees zero.
                let u = (Double(words.x) + 1) * 0x1p-32
                let angle = 2 * Double.pi * Double(words.y) * 0x1p-32
                let radius = (-2 * log(u)).squareRoot() * Double(standardDeviation)
                let first = 2 * pair - places.lowerBound
                if first >= 0 { buffer[first] = Float(radius * cos(angle)) }
                if first + 1 < places.count { buffer[first + 1] = Float(radius * sin(angle)) }
            }
        }
        initialized = places.count
    }
}
