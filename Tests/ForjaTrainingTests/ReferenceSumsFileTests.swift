import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// Reference log-probabilities as a killed run leaves them.
@Suite("ReferenceSumsFile")
struct ReferenceSumsFileTests {
    private static let counts = [3, 1, 2]
    private static let parts = [[-1.5, -0.1, -1e-300], [-7], [-2.0 / 3, 0]]

    private func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    @Test("parts are there again to the bit, in any order and from two writers")
    func reopens() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("sums.jsonl")
        let (one, other) = (ReferenceSumsFile(path), ReferenceSumsFile(path))
        #expect(one.read(counts: Self.counts).parts.isEmpty)
        try one.append(Self.parts[2], part: 2)
        try other.append(Self.parts[0], part: 0)
        try one.append(Self.parts[0], part: 0)
        let seen = ReferenceSumsFile(path).read(counts: Self.counts)
        #expect(seen.parts == [0: Self.parts[0], 2: Self.parts[2]])
        #expect(seen.damagedLineCount == 0)
    }

    @Test("a torn line costs its own part alone, whatever was written of it")
    func tornLines() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("sums.jsonl")
        let file = ReferenceSumsFile(path)
        try file.append(Self.parts[0], part: 0)
        let first = try String(contentsOfFile: path, encoding: .utf8)
        try file.append(Self.parts[1], part: 1)
        let both = try String(contentsOfFile: path, encoding: .utf8)
        for length in first.count..<both.count {
            try write(String(both.prefix(length)), to: path)
            let torn = ReferenceSumsFile(path).read(counts: Self.counts)
            // All but the line feed at the end is a whole part.
            let isWhole = length == both.count - 1
            #expect(
                torn.parts == (isWhole ? [0: Self.parts[0], 1: Self.parts[1]] : [0: Self.parts[0]]))
            #expect(torn.damagedLineCount == (isWhole || length <= first.count + 1 ? 0 : 1))
            try ReferenceSumsFile(path).append(Self.parts[2], part: 2)
            let after = ReferenceSumsFile(path).read(counts: Self.counts).parts
            #expect(after[0] == Self.parts[0] && after[2] == Self.parts[2])
        }
    }

    @Test("a changed digit, another length and a part that there is not are no parts")
    func damagedLines() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("sums.jsonl")
        let file = ReferenceSumsFile(path)
        for (part, sums) in Self.parts.enumerated() { try file.append(sums, part: part) }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        for (from, to) in [("-1.5", "-1.6"), ("\"part\":0", "\"part\":2"), ("[-1.5,", "[")] {
            try write(text.replacingOccurrences(of: from, with: to), to: path)
            let seen = ReferenceSumsFile(path).read(counts: Self.counts)
            #expect(seen.parts == [1: Self.parts[1], 2: Self.parts[2]])
            #expect(seen.damagedLineCount == 1)
        }
        try write(text, to: path)
        #expect(ReferenceSumsFile(path).read(counts: [2, 1]).parts == [1: Self.parts[1]])
    }
}
