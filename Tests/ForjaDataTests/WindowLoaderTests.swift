import ForjaCore
import ForjaData
import Testing

@Suite("Training and validation windows")
struct WindowLoaderTests {
    @Test(
        "an epoch visits every window once, within the range",
        arguments: [(11, 10), (19, 10), (20, 10), (21, 10), (1003, 10), (64, 1), (5, 1), (2, 1)])
    func epochVisitsEveryWindowOnce(count: Int, sequenceLength: Int) throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard((0..<count + 7).map { Int32($0 % 1000) })
        let range = 3..<3 + count
        let loader = try WindowLoader(
            shard: shard, tokenRange: range, sequenceLength: sequenceLength, seed: 5,
            documentMask: false)
        var phases: Set<Int> = []
        for epoch in 0..<30 {
            let starts = (0..<loader.windowCount).map {
                loader.windowStart(of: epoch * loader.windowCount + $0)
            }
            let sorted = starts.sorted()
            #expect(
                Set(zip(sorted, sorted.dropFirst()).map { $1 - $0 }).isSubset(of: [sequenceLength]))
            #expect(sorted[0] >= range.lowerBound)
            #expect(sorted[sorted.count - 1] + sequenceLength + 1 <= range.upperBound)
            phases.insert(sorted[0])
        }
        // What no window covers is less than two windows: the phase before, the rest behind.
        #expect(range.count - loader.windowCount * sequenceLength < 2 * sequenceLength + 1)
        let mayMove = range.count - loader.windowCount * sequenceLength > 1 && sequenceLength > 1
        #expect((phases.count > 1) == mayMove)
    }

    @Test("a batch depends on seed and step only, not on how its rows are shared out")
    func isPureFunction() throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard((0..<500).map { Int32($0 * 7 % 1000) })
        func loader(seed: UInt64) throws -> WindowLoader {
            try WindowLoader(
                shard: shard, sequenceLength: 8, seed: seed, documentMask: false)
        }
        let straight = try (0..<40).map {
            try loader(seed: 1).batch(step: $0, sequences: 6, rows: 0..<6)
        }
        // A resume at any step, and two ranks of three rows.
        for step in [0, 7, 39] {
            let resumed = try loader(seed: 1)
            let low = try resumed.batch(step: step, sequences: 6, rows: 0..<3)
            let high = try resumed.batch(step: step, sequences: 6, rows: 3..<6)
            #expect(low.tokens + high.tokens == straight[step].tokens)
            #expect(low.labels + high.labels == straight[step].labels)
            #expect(low.labelCount + high.labelCount == straight[step].labelCount)
        }
        #expect(Set(straight.map(\.tokens)).count == 40)
        let other = try loader(seed: 2).batch(step: 0, sequences: 6, rows: 0..<6)
        #expect(other.tokens != straight[0].tokens)
        for batch in straight {
            for (row, range) in batch.sourceRanges.enumerated() {
                let own = Array(batch.tokens[row * 8..<row * 8 + 8])
                #expect(try shard.tokens(in: range) == own)
                let next = try shard.tokens(in: range.lowerBound + 1..<range.upperBound + 1)
                #expect(next == Array(batch.labels[row * 8..<row * 8 + 8]))
            }
            #expect(batch.labelCount == 48)
            #expect(batch.documentStart == nil)
        }
    }

    @Test("the label after an end-of-text token is not trained, and documents know their start")
    func separatesDocuments() throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard([5, 6, 9, 7, 9, 9, 8, 4], endOfText: 9)
        let loader = try WindowLoader(
            shard: shard, sequenceLength: 7, seed: 1, documentMask: true)
        let batch = try loader.batch(step: 0, sequences: 1, rows: 0..<1)
        #expect(batch.tokens == [5, 6, 9, 7, 9, 9, 8])
        #expect(batch.labels == [6, 9, -100, 9, -100, -100, 4])
        #expect(batch.documentStart == [0, 0, 0, 3, 3, 5, 6])
        #expect(batch.labelCount == 4)
        let open = try WindowLoader(
            shard: shard, sequenceLength: 7, seed: 1, documentMask: false
        ).batch(step: 0, sequences: 1, rows: 0..<1)
        #expect(open.labels == [6, 9, 7, 9, 9, 8, 4])
        #expect(open.documentStart == nil)
    }

    @Test("too few tokens are refused with the counts")
    func refusesTooShort() throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard([1, 2, 3, 4])
        let error = #expect(throws: ForjaError.self) {
            try WindowLoader(
                shard: shard, tokenRange: 1..<4, sequenceLength: 3, seed: 0, documentMask: false)
        }
        #expect(error?.message.contains("3 tokens") == true)
        #expect(error?.message.contains("at least 4") == true)
        for (range, length) in [(0..<5, 1), (0..<4, 0), (-1..<3, 1)] {
            #expect(throws: ForjaError.self) {
                try WindowLoader(
                    shard: shard, tokenRange: range, sequenceLength: length, seed: 0,
                    documentMask: false)
            }
        }
        #expect(throws: ForjaError.self) {
            try ValidationWindows(
                shard: shard, tokenRange: 1..<2, sequenceLength: 3, documentMask: false)
        }
    }

    @Test("validation labels every token but the first exactly once", arguments: 2...14)
    func validationCoversRange(count: Int) throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard((0..<20).map { Int32($0) })
        let windows = try ValidationWindows(
            shard: shard, tokenRange: 2..<2 + count, sequenceLength: 4, documentMask: false)
        var labels: [Int32] = []
        var start = 0
        while start < windows.count {
            // The last batch has rows past the end: one shape for all.
            let batch = try windows.batch(start..<start + 3)
            #expect(batch.tokens.count == 12)
            #expect(batch.rowCount == 3)
            for (token, label) in zip(batch.tokens, batch.labels) where label >= 0 {
                #expect(label == token + 1)
                labels.append(label)
            }
            #expect(batch.labelCount == batch.labels.count { $0 >= 0 })
            start += 3
        }
        #expect(labels == (3..<Int32(2 + count)).map { $0 })
    }

    @Test("padding carries no label and starts no document")
    func padsLastWindow() throws {
        let directory = try ScratchDirectory()
        let shard = try directory.shard([1, 9, 2, 3, 4, 9], endOfText: 9)
        let windows = try ValidationWindows(shard: shard, sequenceLength: 4, documentMask: true)
        #expect(windows.count == 2)
        let batch = try windows.batch(0..<3)
        #expect(batch.tokens == [1, 9, 2, 3, 4, 9, 9, 9, 9, 9, 9, 9])
        #expect(
            batch.labels == [9, -100, 3, 4, 9, -100, -100, -100, -100, -100, -100, -100])
        #expect(batch.documentStart == [0, 0, 2, 2, 0, 0, 2, 2, 0, 0, 0, 0])
        #expect(batch.sourceRanges == [0..<4, 4..<6, 6..<6])
    }
}
