import ForjaNN
import Testing

@Suite("Rotary tables")
struct RoPETableTests {
    /// Inverse frequencies that transformers 5.23 computes for Llama 3.1 8B: base 500,000, D 128, factor 8, low 1, high 4,
    /// original context 8192 (`ROPE_INIT_FUNCTIONS["llama3"]`), at pairs 0, 20, 28, 29, 34, 35, 40 and 63.
    static let llama31: [(pair: Int, frequency: Float)] = [
        (0, 1),
        (20, 0.0165604409),
        (28, 0.00321144611),
        (29, 0.00216657063),
        (34, 0.000178507791),
        (35, 9.55621217e-05),
        (40, 3.42810235e-05),
        (63, 3.06892588e-07),
    ]

    @Test("Llama 3.1 scaling keeps short wavelengths, blends some and stretches long ones")
    func llama31Frequencies() {
        let frequencies = RoPETable.frequencies(
            headWidth: 128, base: 500_000,
            scaling: RoPEScaling(
                factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192))
        for (pair, expected) in Self.llama31 {
            #expect(abs(frequencies[pair] / expected - 1) < 2e-6, "pair \(pair)")
        }
    }

    @Test("position 0 turns nothing, and every pair has unit length")
    func unitCircle() {
        let table = RoPETable(positions: 9, headWidth: 6, base: 10_000, scaling: nil)
        #expect(table.cosine[0..<3].allSatisfy { $0 == 1 })
        #expect(table.sine[0..<3].allSatisfy { $0 == 0 })
        for (c, s) in zip(table.cosine, table.sine) { #expect(abs(c * c + s * s - 1) < 1e-6) }
    }
}
