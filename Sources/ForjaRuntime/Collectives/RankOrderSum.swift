import ForjaCore

/// The one sum of all reductions: float32, element by element, rank 0 first.
///
///     sum[i] = ((chunk₀[i] + chunk₁[i]) + chunk₂[i]) + …
///
/// bfloat16 chunks are widened, summed in float32 and rounded once, to nearest even.
enum RankOrderSum {
    /// Adds `chunks` into `destination`, which may be one of them.
    static func add(
        _ chunks: [UnsafeRawBufferPointer], into destination: UnsafeMutableRawBufferPointer,
        dtype: DType
    ) {
        switch dtype {
        case .float32: addFloat32(chunks, into: destination)
        case .bfloat16: addBFloat16(chunks, into: destination)
        case .float16, .int32: preconditionFailure("reductions take float32 or bfloat16")
        }
    }

    /// Elements summed in registers and first-level cache before the next ones.
    private static let block = 1024

    private static func addFloat32(
        _ chunks: [UnsafeRawBufferPointer], into destination: UnsafeMutableRawBufferPointer
    ) {
        forEachBlock(of: destination.count / 4) { sum, range in
            for (rank, chunk) in chunks.enumerated() {
                let values = elements(Float.self, of: chunk, from: range.lowerBound)
                for i in 0..<range.count { sum[i] = rank == 0 ? values[i] : sum[i] + values[i] }
            }
            let result =
                destination.assumingMemoryBound(to: Float.self).baseAddress! + range.lowerBound
            result.update(from: sum, count: range.count)
        }
    }

    private static func addBFloat16(
        _ chunks: [UnsafeRawBufferPointer], into destination: UnsafeMutableRawBufferPointer
    ) {
        forEachBlock(of: destination.count / 2) { sum, range in
            for (rank, chunk) in chunks.enumerated() {
                let bits = elements(UInt16.self, of: chunk, from: range.lowerBound)
                for i in 0..<range.count {
                    let value = Float(bitPattern: UInt32(bits[i]) << 16)
                    sum[i] = rank == 0 ? value : sum[i] + value
                }
            }
            let result =
                destination.assumingMemoryBound(to: UInt16.self).baseAddress! + range.lowerBound
            for i in 0..<range.count { result[i] = bfloat16Bits(sum[i]) }
        }
    }

    private static func elements<Element>(
        _ type: Element.Type, of chunk: UnsafeRawBufferPointer, from start: Int
    ) -> UnsafePointer<Element> {
        chunk.assumingMemoryBound(to: type).baseAddress! + start
    }

    private static func forEachBlock(
        of count: Int, _ body: (_ sum: UnsafeMutablePointer<Float>, _ range: Range<Int>) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: block) { sum in
            var start = 0
            while start < count {
                let end = min(start + block, count)
                body(sum.baseAddress!, start..<end)
                start = end
            }
        }
    }
}
