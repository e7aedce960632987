/// Inputs that are the same in every run: SplitMix64 (Steele, Lea and Flood, 2014) from a fixed seed.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// Uniform in (−scale, scale), rounded to `storage`.
    mutating func values(_ count: Int, as storage: Storage, scale: Double = 1) -> [Double] {
        storage.rounded((0..<count).map { _ in Double.random(in: -scale..<scale, using: &self) })
    }

    mutating func integers(_ count: Int, in range: Range<Int>) -> [Int32] {
        (0..<count).map { _ in Int32(Int.random(in: range, using: &self)) }
    }
}
