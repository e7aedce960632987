import ForjaCore
import ForjaData
import ForjaFormats
import Foundation

/// What the stages that train on chats have in common: tokenizer, template, examples to train on and held out.
struct ChatData: Sendable {
    let tokenizer: RecipeTokenizer
    let encoder: ChatEncoder
    let hashes: [String: String]
    let train: ChatExamples
    /// `nil` when nothing is held out.
    let validation: ChatExamples?

    /// Reads and encodes the recipe's rows.
    ///
    /// - Parameter read: Encodes the rows of one file.
    /// - Throws: `.invalidInput` naming file and line of a row that cannot be used, or when no row is left to train on.
    init(
        recipe: Recipe, observer: any TrainingObserver,
        read: (_ path: String, ChatEncoder) throws(ForjaError) -> ExampleSet
    ) throws(ForjaError) {
        let tokenizer = try RecipeTokenizer(
            recipe, cache: TokenShardCache(), observer: observer)
        let encoder = try recipe.chatEncoder(tokenizer)
        (self.tokenizer, self.encoder) = (tokenizer, encoder)
        func examples(_ files: [String]) throws(ForjaError) -> ChatExamples {
            var sets: [ExampleSet] = []
            for file in files {
                sets.append(try read(file, encoder))
                observer.note(sets.last!.summary)
            }
            return ChatExamples(sets)
        }
        func digest(_ files: [String]) throws(ForjaError) -> String {
            "\(try TextSource.digest(of: TextSource.all(files)))"
        }
        let all = try examples(recipe.trainFiles)
        var hashes = [
            "tokenizer": "\(try SHA256Digest(contentsOf: tokenizer.path))",
            "train": try digest(recipe.trainFiles),
            "chat_template": "\(SHA256Digest(of: encoder.template.jinja))",
        ]
        hashes["start"] = try recipe.startDigest()
        if let files = recipe.validationFiles {
            train = all
            validation = try examples(files)
            hashes["validation"] = try digest(files)
        } else {
            let heldOut = all.heldOutCount(fraction: recipe.validationFraction)
            guard heldOut < all.rowCount else {
                throw ForjaError(
                    .invalidInput,
                    "data.train has \(all.rowCount) rows, of which data.validation_fraction "
                        + "\(recipe.validationFraction) leaves none to train on",
                    fix: "give more rows, name data.validation, or set data.validation_fraction: 0")
            }
            train = all.rows(0..<(all.rowCount - heldOut))
            validation =
                heldOut > 0 ? all.rows((all.rowCount - heldOut)..<all.rowCount) : nil
        }
        self.hashes = hashes
    }
}

extension Recipe {
    /// Chats by the recipe's template, or that of the tokenizer's or the model's directory.
    package func chatEncoder(_ tokenizer: RecipeTokenizer) throws(ForjaError) -> ChatEncoder {
        let endOfText = Tokenization.endOfTextNames.first {
            tokenizer.tokenizer.id(of: $0) != nil
        }
        do throws(ForjaError) {
            return try ChatEncoder(
                directory: (tokenizer.path as NSString).deletingLastPathComponent,
                template: chatTemplate, tokenizer: tokenizer.tokenizer, endOfText: endOfText)
        } catch {
            var error = error
            if chatTemplate == nil { error.fix = "set data.chat_template: tulu, for one" }
            throw error
        }
    }
}

/// Examples of several files, row after row.
struct ChatExamples: Sendable {
    private(set) var examples: [Example] = []
    /// File and line of each row.
    private(set) var places: [String] = []
    /// 2 for preference pairs, else 1.
    private(set) var examplesPerRow = 1

    init(_ sets: [ExampleSet]) {
        for set in sets {
            examplesPerRow = set.examplesPerRow
            for row in set.lines.indices {
                places.append(set.place(ofExample: row * set.examplesPerRow))
            }
            examples += set.examples
        }
    }

    var rowCount: Int { places.count }

    func place(ofExample index: Int) -> String { places[index / examplesPerRow] }

    func rows(_ range: Range<Int>) -> ChatExamples {
        var part = self
        part.places = Array(places[range])
        part.examples = Array(
            examples[range.lowerBound * examplesPerRow..<range.upperBound * examplesPerRow])
        return part
    }

    /// Rows at the end that a fraction holds out: at least one unless it is 0.
    func heldOutCount(fraction: Double) -> Int {
        fraction > 0 ? max(1, Int(Double(rowCount) * fraction)) : 0
    }

    /// In rows of T positions.
    func packed(_ recipe: Recipe, as packing: PackedExamples.Packing, padding: Int32)
        -> PackedExamples
    {
        PackedExamples(
            examples, sequenceLength: recipe.sequenceLength, packing: packing, seed: recipe.seed,
            padding: padding, rowsPerUnit: examplesPerRow)
    }
}
