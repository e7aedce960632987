import ForjaCore
import Testing

@Suite("Counter-based random numbers")
struct CounterRandomTests {
    /// `philox4x32 10` of Random123's `kat_vectors`: counter words, key words, result words.
    struct KnownAnswer: Sendable {
        let counter: SIMD4<UInt32>
        let key: SIMD2<UInt32>
        let words: SIMD4<UInt32>
    }

    static let knownAnswers = [
        KnownAnswer(
            counter: SIMD4(repeating: 0), key: SIMD2(repeating: 0),
            words: SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)),
        KnownAnswer(
            counter: SIMD4(repeating: .max), key: SIMD2(repeating: .max),
            words: SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)),
        KnownAnswer(
            counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
            key: SIMD2(0xa409_3822, 0x299f_31d0),
            words: SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)),
    ]

    @Test("match the published Philox-4x32-10 vectors", arguments: knownAnswers)
    func matchPublishedVectors(_ answer: KnownAnswer) {
        let words = CounterRandom.philox(
            counter: answer.counter, key: (answer.key.x, answer.key.y))
        #expect(words == answer.words)
    }

    @Test("place counter, stream, purpose and seed in words of their own")
    func placeInputsInWordsOfTheirOwn() {
        let random = CounterRandom(
            seed: 0x1111_2222_3333_4444, purpose: .sampling, stream: 0x5555_6666)
        let expected = CounterRandom.philox(
            counter: SIMD4(0x9999_aaaa, 0x7777_8888, 0x5555_6666, 3),
            key: (0x3333_4444, 0x1111_2222))
        #expect(random.words(at: 0x7777_8888_9999_aaaa) == expected)
    }

    @Test("differ between seeds, purposes, streams and counters")
    func differBetweenUses() {
        let uses = [
            CounterRandom(seed: 1, purpose: .weights),
            CounterRandom(seed: 2, purpose: .weights),
            CounterRandom(seed: 1 << 32, purpose: .weights),
            CounterRandom(seed: 1, purpose: .shuffle),
            CounterRandom(seed: 1, purpose: .sampling),
            CounterRandom(seed: 1, purpose: .data),
            CounterRandom(seed: 1, purpose: .weights, stream: 1),
        ]
        let words = uses.flatMap { use in (0..<64).map { use.words(at: UInt64($0)) } }
        #expect(Set(words).count == words.count)
    }

    @Test("are uniform in [0, 1)")
    func areUniform() {
        let random = CounterRandom(seed: 7, purpose: .data)
        let count = 65_536
        let draws = (0..<count).map { random.uniform(at: UInt64($0)) }
        #expect(draws.allSatisfy { $0 >= 0 && $0 < 1 })
        // Six standard errors of the mean of a uniform variable, √(1/12/count), is 0.0068.
        let mean = draws.reduce(0, +) / Double(count)
        #expect(abs(mean - 0.5) < 0.0068)
        let square = draws.reduce(0) { $0 + $1 * $1 } / Double(count)
        #expect(abs(square - 1.0 / 3.0) < 0.0070)
    }

    @Test(
        "fill every integer below a bound evenly", arguments: [1, 2, 3, 10, 64, 1000] as [UInt64])
    func fillIntegersBelowBound(bound: UInt64) {
        let random = CounterRandom(seed: 11, purpose: .shuffle)
        let perBin = 200
        var bins = [Int](repeating: 0, count: Int(bound))
        for counter in 0..<(bound * UInt64(perBin)) {
            bins[Int(random.integer(below: bound, at: counter))] += 1
        }
        // A bin is Poisson-like with deviation √200 ≈ 14: seven deviations either side.
        #expect(bins.allSatisfy { bound == 1 || abs($0 - perBin) < 99 })
    }

    @Test("reach the largest integer bound without overflow")
    func reachLargestBound() {
        let random = CounterRandom(seed: 3, purpose: .data)
        let draws = (0..<256).map { random.integer(below: .max, at: UInt64($0)) }
        #expect(draws.contains { $0 > .max / 4 * 3 } && draws.contains { $0 < .max / 4 })
    }
}
