import ForjaCore
import ForjaData
import ForjaFormats
import Foundation
import Testing

@Suite("Examples")
struct ExampleTests {
    private let directory: ScratchDirectory

    init() throws { directory = try ScratchDirectory() }

    private func encoder() throws -> ChatEncoder {
        let folder = (#filePath as NSString).deletingLastPathComponent + "/../Fixtures/chat/"
        return try ChatEncoder(
            ChatTemplate(.tulu), tokenizer: Tokenizer(contentsOf: folder + "tokenizer.json"),
            endOfText: "<|endoftext|>")
    }

    private func rows(_ chats: [(String, String)]) throws -> Rows<ChatRow> {
        let lines = chats.map { "{\"prompt\": \"\($0)\", \"completion\": \"\($1)\"}\n" }
        return try JSONLines.read(
            directory.write(lines.joined(), to: "chats.jsonl"), as: ChatRow.self)
    }

    @Test("labels are the tokens of answers, at the position before each")
    func labels() throws {
        let encoder = try encoder()
        let chat: [ChatMessage] = [
            .user("What?"), .assistant("That."), .user("Why?"), .assistant("So."),
        ]
        let tokens = try encoder.encode(chat)
        let example = Example(tokens)
        #expect(example.tokens == Array(tokens.ids.dropLast()))
        for position in 0..<example.count {
            let expected =
                tokens.isLabel[position + 1] ? tokens.ids[position + 1] : Batch.ignoredLabel
            #expect(example.labels[position] == expected)
        }
        let learnt = example.labels.filter { $0 >= 0 }
        #expect(encoder.tokenizer.decode(learnt) == "That.<|endoftext|>So.<|endoftext|>")
    }

    @Test("what is cut and what is left out is counted; nothing is dropped unsaid")
    func truncation() throws {
        let encoder = try encoder()
        let long = String(repeating: "long question ", count: 20)
        let rows = try rows([("a", "b"), (long, "b"), ("a", String(repeating: "c d ", count: 50))])
        let set = try ExampleSet(rows, encoder: encoder, length: 40, badRows: .skip)
        #expect(set.lines == [1, 3])
        #expect(set.truncatedCount == 1)
        #expect(set.examples.map(\.count).max() == 40)
        #expect(set.skipped.map(\.line) == [2])
        #expect(set.summary.contains("2 rows used, 1 examples cut, 1 rows left out"))
        #expect(throws: ForjaError.self) {
            try ExampleSet(rows, encoder: encoder, length: 40, badRows: .refuse)
        }
        #expect(throws: ForjaError.self) {
            try ExampleSet(rows, encoder: encoder, length: 2, badRows: .skip)
        }
    }

    @Test("preferences give pairs that differ, with the last answer as labels")
    func preferences() throws {
        let encoder = try encoder()
        let same = String(repeating: "same ", count: 20)
        let path = try directory.write(
            """
            {"prompt": "u", "chosen": "yes", "rejected": "no"}
            {"prompt": "u", "chosen": "\(same) a", "rejected": "\(same) b"}
            {"prompt": "\(same)", "chosen": "yes", "rejected": "no"}
            """, to: "pairs.jsonl")
        let rows = try JSONLines.read(path, as: PreferenceRow.self)
        let set = try ExampleSet(rows, encoder: encoder, length: 30, badRows: .skip)
        #expect(set.lines == [1])
        #expect(set.skipped.map(\.line) == [2, 3])
        #expect(set.skipped[0].reason.contains("equal in the first 30"))
        #expect(set.skipped[1].reason.contains("no label is left"))
        let answers = set.examples.map { encoder.tokenizer.decode($0.labels.filter { $0 >= 0 }) }
        #expect(answers == ["yes<|endoftext|>", "no<|endoftext|>"])
        #expect(throws: ForjaError.self) {
            try ExampleSet(rows, encoder: encoder, length: 30, badRows: .refuse)
        }
    }

    @Test("pairs stay together in every step")
    func pairs() {
        let packed = PackedExamples(
            examples(20, seed: 5, length: 8), sequenceLength: 16, packing: .none, seed: 6,
            padding: 0, rowsPerUnit: 2)
        var seen: Set<Int> = []
        for step in 0..<5 {
            for pair in 0..<2 {
                let chosen = packed.row(step: step, sequences: 4, place: 2 * pair)
                #expect(chosen.isMultiple(of: 2) && seen.insert(chosen).inserted)
                #expect(packed.row(step: step, sequences: 4, place: 2 * pair + 1) == chosen + 1)
            }
        }
        #expect(seen.count == 10)
    }

    private func random(_ count: Int, seed: UInt64, below bound: Int) -> [Int] {
        let random = CounterRandom(seed: seed, purpose: .data)
        return (0..<count).map { Int(random.integer(below: UInt64(bound), at: UInt64($0))) }
    }

    @Test(
        "packing keeps every example whole and once, and within the capacity",
        arguments: [1, 7, 63, 64, 65, 1000])
    func packing(capacity: Int) {
        for seed in UInt64(0)..<5 {
            let lengths = random(500, seed: seed, below: capacity + 1)
            let rows = BestFitPacking.rows(lengths: lengths, capacity: capacity, seed: seed)
            #expect(rows.flatMap { $0 }.sorted() == Array(0..<500))
            let fills = rows.map { row in row.reduce(0) { $0 + lengths[$1] } }
            #expect(fills.allSatisfy { $0 <= capacity })
            #expect(BestFitPacking.rows(lengths: lengths, capacity: capacity, seed: seed) == rows)
            // 11/9 of the least possible and 4 more (Johnson et al.).
            let least = (lengths.reduce(0, +) + capacity - 1) / capacity
            let large = lengths.count { 2 * $0 > capacity }
            #expect(rows.count * 9 <= max(least, large) * 11 * 3 / 2 + 36)
        }
        #expect(BestFitPacking.rows(lengths: [], capacity: capacity, seed: 0).isEmpty)
    }

    @Test("packs what fits in pairs without waste; another seed pairs others")
    func perfectPacking() {
        let lengths = (0..<60).flatMap { _ in [70, 30] }
        let rows = BestFitPacking.rows(lengths: lengths, capacity: 100, seed: 1)
        #expect(rows.count == 60)
        #expect(BestFitPacking.rows(lengths: lengths, capacity: 100, seed: 2) != rows)
    }

    private func examples(_ count: Int, seed: UInt64, length: Int) -> [Example] {
        random(count, seed: seed, below: length).enumerated().map { number, length in
            let ids = (0..<(length + 2)).map { Int32(number * 100 + $0) }
            return Example(ChatTokens(ids: ids, isLabel: ids.map { $0 % 3 != 0 }))
        }
    }

    @Test(
        "a packed batch holds each example's tokens, labels and document start",
        arguments: PackedExamples.Packing.allCases)
    func batches(packing: PackedExamples.Packing) {
        let examples = examples(40, seed: 3, length: 30)
        let packed = PackedExamples(
            examples, sequenceLength: 32, packing: packing, seed: 4, padding: -7)
        let batch = packed.batch(of: Array(packed.rows.indices) + [packed.rows.count])
        #expect(batch.rowCount == packed.rows.count + 1)
        #expect(batch.labelCount == examples.reduce(0) { $0 + $1.labelCount })
        #expect(batch.labels.count { $0 >= 0 } == batch.labelCount)
        for placement in packed.placements(of: Array(packed.rows.indices)) {
            let example = examples[placement.example]
            #expect(Array(batch.tokens[placement.positions]) == example.tokens)
        }
        var seen: Set<Int> = []
        for (row, placements) in packed.rows.enumerated() {
            for placement in placements {
                #expect(seen.insert(placement.example).inserted)
                let example = examples[placement.example]
                let place = row * 32 + placement.positions.lowerBound
                let range = place..<(place + example.count)
                #expect(Array(batch.tokens[range]) == example.tokens)
                #expect(Array(batch.labels[range]) == example.labels)
                #expect(
                    batch.documentStart?[range].allSatisfy {
                        $0 == Int32(placement.positions.lowerBound)
                    } == true)
            }
            let end = placements.last?.positions.upperBound ?? 0
            let rest = (row * 32 + end)..<((row + 1) * 32)
            #expect(batch.tokens[rest].allSatisfy { $0 == -7 })
            #expect(batch.labels[rest].allSatisfy { $0 == Batch.ignoredLabel })
            #expect(batch.documentStart?[rest].allSatisfy { $0 == Int32(end) } == true)
        }
        #expect(seen.count == 40)
        if packing == .bestFit { #expect(packed.fill > 0.9) }
    }

    @Test("pairs share two rows with other pairs, chosen answers in one, rejected in the other")
    func packedPairs() {
        let examples = examples(40, seed: 7, length: 30)
        let packed = PackedExamples(
            examples, sequenceLength: 32, packing: .bestFit, seed: 4, padding: -7, rowsPerUnit: 2)
        #expect(packed.rows.count.isMultiple(of: 2) && packed.rows.count < 40)
        var seen: [Int] = []
        for step in 0..<packed.rows.count / 2 {
            let rows = (0..<2).map { packed.row(step: step, sequences: 2, place: $0) }
            // Alone, and beside rows that only fill a batch up.
            for filled in [rows, rows + [packed.rows.count, packed.rows.count]] {
                let placements = packed.placements(of: filled)
                let batch = packed.batch(of: filled)
                for (index, placement) in placements.enumerated() {
                    let example = examples[placement.example]
                    #expect(placement.example % 2 == index % 2)
                    #expect(placement.example / 2 == placements[index / 2 * 2].example / 2)
                    #expect(placement.positions.lowerBound / 32 == index % 2)
                    #expect(Array(batch.tokens[placement.positions]) == example.tokens)
                    #expect(Array(batch.labels[placement.positions]) == example.labels)
                }
            }
            seen += packed.placements(of: rows).map(\.example)
        }
        #expect(seen.sorted() == Array(0..<40))
        #expect(packed.examples(inRows: packed.rows.indices).sorted() == Array(0..<40))
    }

    @Test("steps visit every row once an epoch, whatever the split of the batch")
    func order() {
        let packed = PackedExamples(
            examples(25, seed: 5, length: 8), sequenceLength: 16, packing: .none, seed: 6,
            padding: 0)
        let order = (0..<50).map { packed.row(step: $0 / 5, sequences: 5, place: $0 % 5) }
        #expect(Set(order[..<25]).count == 25)
        #expect(Set(order[25...]).count == 25)
        #expect(Array(order[..<25]) != Array(order[25...]))
        let whole = packed.batch(step: 2, sequences: 5, places: 0..<5)
        let halves = [0..<2, 2..<5].map { packed.batch(step: 2, sequences: 5, places: $0) }
        #expect(halves.flatMap(\.tokens) == whole.tokens)
    }
}
