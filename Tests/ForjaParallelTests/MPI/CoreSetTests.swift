import ForjaParallel
import Testing

@Suite("Cores of a rank")
struct CoreSetTests {
    @Test("reads Linux's lists and its own")
    func lists() {
        #expect(CoreSet(list: "0-3,8").cores == [0, 1, 2, 3, 8])
        #expect(CoreSet(list: "5").cores == [5])
        #expect(CoreSet(list: "").cores.isEmpty)
        #expect(CoreSet(list: "3-1,x,-").cores.isEmpty)
        let set = CoreSet(cores: [0, 2, 3, 64])
        #expect(CoreSet(list: set.list) == set)
    }

    @Test("sees at least one core of this machine")
    func own() { #expect(!CoreSet.ofThisProcess.cores.isEmpty) }

    @Test("divides cores among the ranks that may run on them")
    func shares() {
        let all = CoreSet(cores: 0..<8)
        #expect(CoreSet.fairThreadCount(of: 0, among: [all]) == 8)
        #expect(CoreSet.fairThreadCount(of: 2, among: Array(repeating: all, count: 4)) == 2)
        #expect(CoreSet.fairThreadCount(of: 0, among: Array(repeating: all, count: 3)) == 2)
        #expect(CoreSet.fairThreadCount(of: 1, among: Array(repeating: all, count: 9)) == 1)
        let halves = [CoreSet(cores: 0..<4), CoreSet(cores: 4..<8)]
        #expect(CoreSet.fairThreadCount(of: 0, among: halves) == 4)
        // One rank on all cores beside one bound to core 0: 7½ and ½.
        let mixed = [all, CoreSet(cores: [0])]
        #expect(CoreSet.fairThreadCount(of: 0, among: mixed) == 7)
        #expect(CoreSet.fairThreadCount(of: 1, among: mixed) == 1)
        // Thirds of 3 cores are a whole thread.
        #expect(
            CoreSet.fairThreadCount(
                of: 0, among: Array(repeating: CoreSet(cores: 0..<3), count: 3)) == 1)
        #expect(
            CoreSet.fairThreadCount(
                of: 0, among: Array(repeating: CoreSet(cores: 0..<6), count: 3)) == 2)
    }
}
