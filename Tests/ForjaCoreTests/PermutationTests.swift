import ForjaCore
import Testing

@Suite("Permutation")
struct PermutationTests {
    @Test("visits every element once for every count up to 300")
    func visitsEveryElementOnce() {
        for count in 1...300 { #expect(isBijection(count: count, seed: 5, stream: 0)) }
    }

    @Test(
        "visits every element once around powers of four",
        arguments: [1023, 1024, 1025, 4095, 4096, 4097, 16_385, 65_536, 65_537, 100_000])
    func visitsEveryElementOnce(count: Int) {
        #expect(isBijection(count: count, seed: 5, stream: 1))
    }

    private func isBijection(count: Int, seed: UInt64, stream: UInt32) -> Bool {
        let permutation = Permutation(count: count, seed: seed, stream: stream)
        var seen = [Bool](repeating: false, count: count)
        for index in 0..<count {
            let element = permutation[index]
            guard (0..<count).contains(element), !seen[element] else { return false }
            seen[element] = true
        }
        return true
    }

    @Test("gives the same order for the same seed and stream, another for any other")
    func dependsOnSeedAndStreamOnly() {
        func order(_ seed: UInt64, _ stream: UInt32) -> [Int] {
            let permutation = Permutation(count: 1000, seed: seed, stream: stream)
            return (0..<1000).map { permutation[$0] }
        }
        #expect(order(1, 0) == order(1, 0))
        #expect(order(1, 0) != order(2, 0))
        #expect(order(1, 0) != order(1, 1))
        #expect(order(1, 0) != Array(0..<1000))
    }

    @Test("sends an element anywhere with equal chance")
    func sendsElementsAnywhere() {
        let count = 16
        var bins = [Int](repeating: 0, count: count)
        for seed in UInt64(0)..<3200 {
            bins[Permutation(count: count, seed: seed, stream: 0)[3]] += 1
        }
        // Mean 200, deviation √200 ≈ 14: seven deviations either side.
        #expect(bins.allSatisfy { abs($0 - 200) < 99 })
    }

    @Test("works where the count needs 64-bit products")
    func worksForHugeCounts() {
        let count = 1 << 40
        let permutation = Permutation(count: count, seed: 9, stream: 0)
        let elements = (0..<1000).map { permutation[count - 1 - $0] }
        #expect(elements.allSatisfy { (0..<count).contains($0) })
        #expect(Set(elements).count == elements.count)
    }
}
