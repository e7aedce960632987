/// Random numbers that are a pure function of (key, counter): Philox-4×32-10.
///
/// Nothing is carried from draw to draw, so initialisation, shuffling and sampling give the same numbers in any
/// order, on any number of threads, and after a resume. Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
/// as easy as 1, 2, 3", SC 2011; checked against the published Random123 vectors.
public struct CounterRandom: Sendable {
    /// Separates the uses of one seed, so that no two draw the same numbers.
    public enum Purpose: UInt32, Sendable {
        case weights = 1
        case shuffle = 2
        case sampling = 3
        case data = 4
        /// Questions made up, and mistakes in their answers.
        case tasks = 5
        /// Seeds of the batches of reinforcement learning.
        case rollouts = 6
    }

    private let key: (UInt32, UInt32)
    private let purpose: UInt32
    private let stream: UInt32

    /// - Parameters:
    ///   - seed: The user's seed.
    ///   - purpose: What the numbers are for.
    ///   - stream: Number of the tensor, epoch or sequence within the purpose.
    public init(seed: UInt64, purpose: Purpose, stream: UInt32 = 0) {
        key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        self.purpose = purpose.rawValue
        self.stream = stream
    }

    /// Four independent 32-bit words for one counter value.
    public func words(at counter: UInt64) -> SIMD4<UInt32> {
        Self.philox(
            counter: SIMD4(
                UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32),
                stream, purpose),
            key: key)
    }

    /// Uniform in [0, 1), 53 random bits.
    public func uniform(at counter: UInt64) -> Double {
        let w = words(at: counter)
        return Double((UInt64(w.x) << 32 | UInt64(w.y)) >> 11) * 0x1p-53
    }

    /// Uniform in 0 ..< bound, without modulo bias worth naming: 64 random bits scaled by multiplication.
    public func integer(below bound: UInt64, at counter: UInt64) -> UInt64 {
        let w = words(at: counter)
        return (UInt64(w.x) << 32 | UInt64(w.y)).multipliedFullWidth(by: bound).high
    }

    /// The bare generator, for its published test vectors.
    package static func philox(
        counter: SIMD4<UInt32>, key: (UInt32, UInt32)
    ) -> SIMD4<UInt32> {
        var c = counter
        var k = key
        for _ in 0..<10 {
            let p0 = c.x.multipliedFullWidth(by: 0xD251_1F53)
            let p1 = c.z.multipliedFullWidth(by: 0xCD9E_8D57)
            c = SIMD4(p1.high ^ c.y ^ k.0, p1.low, p0.high ^ c.w ^ k.1, p0.low)
            k = (k.0 &+ 0x9E37_79B9, k.1 &+ 0xBB67_AE85)
        }
        return c
    }
}
