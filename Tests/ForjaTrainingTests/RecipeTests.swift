import ForjaCore
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

@Suite("Recipes")
struct RecipeTests {
    static let minimal = """
        model: {width: 64, layers: 2, heads: 4, key_value_heads: 2, feed_forward_width: 128}
        tokenizer:
          train: {kind: byte_bpe, vocabulary_size: 300}
        data:
          train: text.txt
        training:
          max_steps: 10
          batch_size_sequences: 4
          sequence_length_tokens: 32
        schedule: {learning_rate: 0.001}
        """

    func recipe(_ yaml: String = minimal, _ overrides: [String] = []) throws(ForjaError) -> Recipe {
        try Recipe(yaml: yaml, file: "/recipes/test.yaml", overrides: overrides)
    }

    func failure(_ yaml: String = minimal, _ overrides: [String] = []) -> ForjaError? {
        do throws(ForjaError) {
            _ = try recipe(yaml, overrides)
            return nil
        } catch { return error }
    }

    static let shipped = ShippedRecipes.recipes

    @Test("every shipped recipe decodes, at any number of steps", arguments: shipped)
    func shippedRecipesDecode(path: String) throws {
        for steps in [0, 1, 7] {
            let recipe = try Recipe(
                contentsOf: path, overrides: ["training.max_steps=\(steps)"])
            #expect(recipe.maxSteps == steps)
            for file in recipe.trainFiles {
                #expect(FileManager.default.fileExists(atPath: file), "\(file)")
            }
        }
    }

    @Test("there are recipes to ship")
    func recipesAreShipped() { #expect(Self.shipped.count >= 2) }

    @Test(
        "a misspelt key names the nearest valid one, with file and line",
        arguments: [
            ("training: {max_step: 3}", "training.max_step", "training.max_steps"),
            ("optimiser: {beta1: 0.9}", "optimiser", "optimizer"),
            ("optimizer: {weight_dacay: 0.1}", "weight_dacay", "optimizer.weight_decay"),
            ("schedule: {max_steps: 3}", "schedule.max_steps", "training.max_steps"),
        ])
    func misspeltKey(yaml: String, key: String, nearest: String) throws {
        let error = try #require(failure("name: x\n" + yaml))
        #expect(error.message.contains(key))
        #expect(error.message.contains("/recipes/test.yaml:2"))
        #expect(error.fix == "did you mean \(nearest)?")
    }

    @Test("--set overrides a value, and a misspelt one is named")
    func overrides() throws {
        #expect(try recipe(Self.minimal, ["training.max_steps=77"]).maxSteps == 77)
        let error = try #require(failure(Self.minimal, ["training.max_step=77"]))
        #expect(error.fix == "did you mean training.max_steps?")
        #expect(
            try #require(failure(Self.minimal, ["training.max_steps"])).message.contains("no ="))
    }

    @Test("a value of the wrong kind or range says what is expected")
    func wrongValues() throws {
        for (override, expected) in [
            ("training.max_steps=many", "a whole number"), ("training.dtype=f64", "f32 or bf16"),
            ("optimizer.beta1=1.5", "a number in"), ("model.tie_embeddings=maybe", "true or false"),
            ("training.batch_size_sequences=0", "a whole number in 1"),
        ] {
            let error = try #require(failure(Self.minimal, [override]))
            #expect(error.fix?.contains(expected) == true, "\(override): \(error)")
        }
    }

    @Test("heads that do not divide are refused with the valid numbers and the line")
    func impossibleShapes() throws {
        let error = try #require(failure(Self.minimal, ["model.key_value_heads=3"]))
        #expect(error.message.contains("key_value_heads is 3"))
        #expect(error.fix?.contains("1, 2, 4") == true)
        let located = try #require(
            failure(
                Self.minimal.replacingOccurrences(
                    of: "key_value_heads: 2", with: "key_value_heads: 3")))
        #expect(located.message.contains("/recipes/test.yaml:1"))
        #expect(try #require(failure(Self.minimal, ["model.heads=5"])).message.contains("divide"))
    }

    @Test("accumulation must divide the batch")
    func accumulation() throws {
        let error = try #require(
            failure(Self.minimal, ["training.gradient_accumulation_steps=3"]))
        #expect(error.fix == "use one of 1, 2, 4")
    }

    @Test("a missing key is named with its meaning")
    func missingKey() throws {
        let yaml = Self.minimal.replacingOccurrences(of: "max_steps: 10", with: "seed: 1")
        #expect(try #require(failure(yaml)).message.contains("training.max_steps is missing"))
    }

    @Test("the resolved recipe reads back to the same values")
    func resolvedRoundTrip() throws {
        let original = try recipe()
        let again = try Recipe(yaml: original.resolvedYAML, file: "/elsewhere/recipe.yaml")
        #expect(again.values == original.values)
        #expect(again.keysChanged(since: original).isEmpty)
        #expect(original.trainFiles == ["/recipes/text.txt"])
    }

    @Test("keys that may change on resume are told from those that may not")
    func changedKeys() throws {
        let original = try recipe()
        let allowed = try recipe(
            Self.minimal, ["training.max_steps=20", "checkpoint.every_steps=7"])
        #expect(allowed.keysChanged(since: original).isEmpty)
        let refused = try recipe(Self.minimal, ["training.seed=5", "schedule.kind=linear"])
        #expect(
            refused.keysChanged(since: original) == ["training.seed", "schedule.kind"])
    }

    @Test("data elsewhere are no changed key; data given or left out are")
    func changedPaths() throws {
        let held = try recipe(Self.minimal, ["data.validation=held.txt"])
        let moved = try recipe(
            Self.minimal, ["data.train=/elsewhere/text.txt", "data.validation=/elsewhere/held.txt"])
        #expect(moved.keysChanged(since: held).isEmpty)
        #expect(try recipe().keysChanged(since: held) == ["data.validation"])
        #expect(
            RecipeSchema.keys.filter(\.isComparedByContent).map(\.path) == [
                "model.from", "tokenizer.from", "tokenizer.train.files", "data.train",
                "data.validation",
            ])
    }

    @Test("the list of keys is the golden one: a change to the contract is seen")
    func keysAreGolden() throws {
        let golden = try String(contentsOfFile: fixture("recipe-keys.txt"), encoding: .utf8)
        #expect(RecipeSchema.keys.map(\.path).joined(separator: "\n") + "\n" == golden)
    }
}
