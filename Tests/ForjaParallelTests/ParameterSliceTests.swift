import ForjaCore
import ForjaParallel
import Testing

@Suite("Slices of parameters")
struct ParameterSliceTests {
    static let slices = [
        ParameterSlice([6, 4], split: .rows(sections: [4, 2])),
        ParameterSlice([6, 4], split: .columns), ParameterSlice([6, 4], split: .none),
    ]

    @Test("of two ranks are cut section by section, and by columns")
    func cutsWhereSaid() {
        let rows = Self.slices[0].slice(rank: 1, of: 2)
        #expect(rows.shape == [3, 4])
        #expect(rows.segments.map(\.whole) == [8..<16, 20..<24])
        #expect(rows.segments.map(\.offset) == [0, 8])
        let columns = Self.slices[1].slice(rank: 1, of: 2)
        #expect(columns.shape == [6, 2])
        #expect(columns.segments.map(\.whole) == (0..<6).map { $0 * 4 + 2..<$0 * 4 + 4 })
        #expect(Self.slices[2].slice(rank: 1, of: 2).segments.map(\.whole) == [0..<24])
    }

    @Test("of all ranks are the whole, each element once", arguments: slices, [1, 2])
    func coversWhole(whole: ParameterSlice, rankCount: Int) {
        guard whole.divides(by: rankCount) else { return }
        let parts = (0..<rankCount).map { whole.slice(rank: $0, of: rankCount) }
        let elements = parts.flatMap { $0.segments.flatMap { Array($0.whole) } }
        #expect(elements.sorted() == Array(0..<24))
        #expect(parts[0].joined(elements.map(Float.init)) == (0..<24).map(Float.init))
    }

    @Test("of some elements are cut at their bounds")
    func cutsAtBounds() {
        let slice = Self.slices[0].slice(rank: 1, of: 2)
        let segments = slice.segments(of: 6..<11)
        #expect(segments.map(\.whole) == [14..<16, 20..<23])
        #expect(segments.map(\.offset) == [0, 2])
        #expect(slice.segments(of: 3..<3).isEmpty)
    }
}
