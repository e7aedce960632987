import ForjaCore
import ForjaModels
import ForjaTestSupport
import ForjaTraining
import Foundation
import Testing

/// What a run stores can be read again: its recipe and its model's configuration.
@Suite("Recipes read back")
struct RecipeRoundTripTests {
    private static let yaml = """
        model: {width: 32, layers: 2, heads: 4, feed_forward_width: 64}
        tokenizer: {train: {kind: characters}}
        data: {train: text.txt}
        training: {max_steps: 10, batch_size_sequences: 4, sequence_length_tokens: 16}
        schedule: {learning_rate: 0.001}

        """

    @Test(
        "a text with characters that YAML does not take bare",
        arguments: [
            (0x01...0x1F as ClosedRange<UInt32>, "controls"), (0x7F...0xA0, "DEL and C1"),
            (0x2027...0x202A, "line and paragraph separators"),
            (0xFEFE...0xFF00, "byte order mark"), (0xFFFC...0xFFFF, "not characters"),
            (0x1F600...0x1F601, "two UTF-16 units"),
        ])
    func unprintableTexts(scalars: ClosedRange<UInt32>, name: String) throws {
        // As \U escapes, which YAML reads whatever the character.
        let prompt = scalars.map { "\\U" + String(format: "%08x", $0) }.joined()
        let original = try Recipe(
            yaml: Self.yaml + "evaluation: {sample_prompt: \"a\(prompt)b\"}\n", file: "/r.yaml")
        #expect(original.samplePrompt?.unicodeScalars.count == scalars.count + 2)
        let again = try Recipe(yaml: original.resolvedYAML, file: "/elsewhere/recipe.yaml")
        #expect(again.samplePrompt == original.samplePrompt)
    }

    @Test(
        "rotary positions that a checkpoint cannot have are refused by key and line",
        arguments: [
            ("rope_base: 1", "model.rope_base is 1"),
            (
                "rope_scaling: {factor: 8, low_frequency_factor: 4, high_frequency_factor: 4}",
                "model.rope_scaling.low_frequency_factor is 4"
            ),
            (
                "rope_scaling: {factor: 8, high_frequency_factor: 0.5}",
                "model.rope_scaling.high_frequency_factor is 0.5"
            ),
        ])
    func rotaryPositions(key: String, message: String) throws {
        let yaml = Self.yaml.replacingOccurrences(of: "width: 64}", with: "width: 64,\n  \(key)}")
        let error = try #require(throws: ForjaError.self) {
            try Recipe(yaml: yaml, file: "/r.yaml")
        }
        #expect(error.message.contains(message), "\(error)")
        #expect(error.message.contains("/r.yaml:2"), "\(error)")
        #expect(error.fix != nil)
    }

    @Test("rotary positions at the edge of what is accepted are in a configuration that reads back")
    func acceptedPositions() throws {
        let yaml = Self.yaml.replacingOccurrences(
            of: "width: 64}",
            with: "width: 64, rope_base: 1.001, rope_scaling: "
                + "{factor: 1, low_frequency_factor: 0.999, high_frequency_factor: 1}}")
        let configuration = try Recipe(yaml: yaml, file: "/r.yaml")
            .modelConfiguration(vocabularySize: 7)
        let directory = try TemporaryDirectory()
        try configuration.huggingFace(beginOfTextID: nil, endOfTextIDs: [])
            .write(into: directory.path)
        #expect(try ModelDirectory(directory.path).configuration == configuration)
    }
}
