import ForjaData
import ForjaFormats
import ForjaObjectives

/// Every key a recipe may have: the one place that names, checks and documents them.
public enum RecipeSchema {
    public static let keys = generalKeys + groupRelativeKeys

    private static let generalKeys: [RecipeKey] = [
        RecipeKey("name", .string, "Name of the run; the recipe's file name when absent."),
        RecipeKey(
            "stage", .choice(Recipe.Stage.allCases.map(\.rawValue)), default: .string("pretrain"),
            "What is trained for: next tokens of text (pretrain), answers of chats (sft), chosen answers over rejected ones (dpo), answers that verifiers call right (grpo)."
        ),

        RecipeKey(
            "model.from", .path, isComparedByContent: true,
            "Directory in Hugging Face layout to start from; excludes the shape keys."),
        RecipeKey("model.width", .integer(1...1_048_576), "C, model width."),
        RecipeKey("model.layers", .integer(1...4096), "L, decoder blocks."),
        RecipeKey("model.heads", .integer(1...65_536), "H, query heads."),
        RecipeKey(
            "model.key_value_heads", .integer(1...65_536),
            "G, key-value heads; divides heads. Absent: as many as heads."),
        RecipeKey(
            "model.head_width", .integer(2...256), "D, width of one head. Absent: width / heads."),
        RecipeKey("model.feed_forward_width", .integer(1...4_194_304), "F, feed-forward width."),
        RecipeKey(
            "model.context_length", .integer(1...16_777_216),
            "Positions the model is made for. Absent: training.sequence_length_tokens."),
        RecipeKey(
            "model.tie_embeddings", .boolean, default: .boolean(true),
            "Whether the head is the embedding table."),
        RecipeKey(
            "model.rope_base", .number(1...1e12), default: .number(500_000),
            "Base of rotary positions."),
        RecipeKey(
            "model.rope_scaling.factor", .number(1...1e6),
            "Llama 3.1 scaling: how far long wavelengths are stretched. Absent: none."),
        RecipeKey(
            "model.rope_scaling.low_frequency_factor", .number(0.001...1e6), default: .number(1),
            "Wavelengths above original context / this are stretched in full."),
        RecipeKey(
            "model.rope_scaling.high_frequency_factor", .number(0.001...1e6), default: .number(4),
            "Wavelengths below original context / this are kept."),
        RecipeKey(
            "model.rope_scaling.original_context_length", .integer(1...16_777_216),
            default: .integer(8192), "Context before stretching."),
        RecipeKey(
            "model.norm_epsilon", .number(0...1), default: .number(1e-5),
            "Added to the mean square."),
        RecipeKey(
            "model.initializer_range", .number(0...10), default: .number(0.02),
            "Standard deviation of initial weights."),

        RecipeKey(
            "tokenizer.from", .path, isComparedByContent: true,
            "A tokenizer.json, or a directory with one. Absent with model.from: the model's own."),
        RecipeKey(
            "tokenizer.train.kind", .choice(["byte_bpe", "characters"]),
            "Trains one when no tokenizer is given: byte-level BPE, or the characters seen."),
        RecipeKey(
            "tokenizer.train.vocabulary_size", .integer(1...4_194_304),
            "V for byte_bpe; characters takes what the text has."),
        RecipeKey(
            "tokenizer.train.files", .paths, isComparedByContent: true,
            "Text to train it on. Absent: data.train."),

        RecipeKey(
            "data.train", .paths, isComparedByContent: true,
            "pretrain: text files, or JSONL with a text field. sft, dpo, grpo: JSONL of chats, of pairs, of prompts with what is right."
        ),
        RecipeKey(
            "data.validation", .paths, isComparedByContent: true,
            "As data.train, held out. Absent: the last data.validation_fraction."),
        RecipeKey(
            "data.validation_fraction", .number(0...0.9), default: .number(0.1),
            "Share at the end of data.train held out when data.validation is absent: of its tokens, or rows."
        ),
        RecipeKey(
            "data.document_mask", .boolean, default: .boolean(true), of: [.pretrain],
            "Attention stays inside documents, and the label after an end of text is not trained."),
        RecipeKey(
            "data.chat_template", .choice(ChatTemplate.Kind.allCases.map(\.rawValue)),
            of: Recipe.Stage.ofChats, "How chats are written. Absent: as the model's own template."),
        RecipeKey(
            "data.bad_rows", .choice(BadRowPolicy.allCases.map(\.rawValue)),
            default: .string("refuse"), of: Recipe.Stage.ofChats,
            "What becomes of a row that cannot be used: it ends the run, or is left out and counted."
        ),
        RecipeKey(
            "data.packing", .choice(PackedExamples.Packing.allCases.map(\.rawValue)),
            default: .string("best_fit"), of: [.sft, .dpo], defaultOf: [.sft],
            "Whether several chats share a sequence, kept apart by attention, or each has its own. Absent with dpo: none."
        ),

        RecipeKey(
            "training.max_steps", .integer(0...1_000_000_000), mayChangeOnResume: true,
            "Optimizer steps; 0 only saves the start."),
        RecipeKey(
            "training.batch_size_sequences", .integer(1...16_777_216),
            "Sequences of one optimizer step, over all ranks and microsteps."),
        RecipeKey("training.sequence_length_tokens", .integer(1...16_777_216), "T."),
        RecipeKey(
            "training.gradient_accumulation_steps", .integer(1...65_536), default: .integer(1),
            "Microsteps a step is split into; divides the batch."),
        RecipeKey(
            "training.recompute", .choice(["none", "block"]), default: .string("none"),
            "block keeps one activation per block and computes the others again: less memory."),
        RecipeKey(
            "training.seed", .integer(0...Int.max), default: .integer(0),
            "Decides initial weights and the order of the data."),
        RecipeKey(
            "training.dtype", .choice(["f32", "bf16"]), default: .string("f32"),
            "Storage of weights' copies and activations; sums and masters are float32."),

        RecipeKey(
            "objective.reduction",
            .choice(LikelihoodObjective.Reduction.allCases.map(\.rawValue)),
            default: .string("mean"), of: [.sft],
            "Loss over the labels of a step: their mean, or their sum as Tülu 3 was trained with."),
        RecipeKey(
            "objective.loss", .choice(["dpo", "dpo_norm", "simpo"]), default: .string("dpo_norm"),
            of: [.dpo],
            "Which loss on pairs: by sums, by means over an answer's labels, without reference."),
        RecipeKey(
            "objective.beta", .number(1e-6...1e6), of: [.dpo],
            "Scale of rewards. Absent: 0.1 for dpo, 5 for dpo_norm, 2 for simpo."),
        RecipeKey(
            "objective.gamma", .number(0...1e6), of: [.dpo],
            "simpo: margin that rewards should differ by. Absent: 0.3 · beta."),
        RecipeKey(
            "objective.label_smoothing", .number(0...0.499), default: .number(0), of: [.dpo],
            "Share of pairs taken to be the wrong way round."),

        RecipeKey(
            "optimizer.beta1", .number(0...0.999999), default: .number(0.9), "First moment's decay."
        ),
        RecipeKey(
            "optimizer.beta2", .number(0...0.999999), default: .number(0.95),
            "Second moment's decay."),
        RecipeKey(
            "optimizer.epsilon", .number(1e-30...1), default: .number(1e-8),
            "Added to the root; at 0, weights without a gradient would become NaN."),
        RecipeKey(
            "optimizer.weight_decay", .number(0...10), default: .number(0.1),
            "Decoupled decay, times the learning rate."),
        RecipeKey(
            "optimizer.weight_decay_on", .choice(["matrices", "all"]), default: .string("matrices"),
            "Whether norms' weights decay too."),
        RecipeKey(
            "optimizer.max_gradient_norm", .number(0...1e12), default: .number(1),
            "Clips the global norm; 0 clips nothing."),

        RecipeKey(
            "schedule.kind", .choice(["constant", "cosine", "linear", "wsd"]),
            default: .string("cosine"),
            "How the learning rate falls after warm-up."),
        RecipeKey("schedule.learning_rate", .number(0...1000), "The peak."),
        RecipeKey(
            "schedule.warmup_steps", .integer(0...1_000_000_000), default: .integer(0),
            "Linear warm-up."),
        RecipeKey(
            "schedule.decay_steps", .integer(0...1_000_000_000), default: .integer(0),
            "wsd: steps of the final decay."),
        RecipeKey(
            "schedule.minimum_ratio", .number(0...1), default: .number(0.1),
            "Last learning rate over the peak."),

        RecipeKey(
            "parallel.data", .integer(1...65_536), default: .integer(1), mayChangeOnResume: true,
            "Data-parallel ranks."),
        RecipeKey(
            "parallel.tensor", .integer(1...65_536), default: .integer(1), mayChangeOnResume: true,
            "Tensor-parallel ranks."),
        RecipeKey(
            "parallel.zero", .integer(0...1), default: .integer(1), mayChangeOnResume: true,
            "1: each data-parallel rank keeps and updates its share of the optimizer's state (ZeRO-1); 0: all of it."
        ),
        RecipeKey(
            "parallel.timeout_seconds", .number(1...1_000_000), default: .number(600),
            mayChangeOnResume: true,
            "How long ranks wait for one another before the run stops and names the one missing."),

        RecipeKey(
            "checkpoint.every_steps", .integer(0...1_000_000_000), default: .integer(500),
            mayChangeOnResume: true, "Saves every so many steps; 0 saves only the end."),
        RecipeKey(
            "checkpoint.keep_last", .integer(1...1_000_000), default: .integer(2),
            mayChangeOnResume: true,
            "Older checkpoints are removed once a newer one is whole."),

        RecipeKey(
            "evaluation.every_steps", .integer(0...1_000_000_000), default: .integer(250),
            "Validation loss every so many steps and at the end; 0: only at the end."),
        RecipeKey(
            "evaluation.max_tokens", .integer(0...1_000_000_000_000), default: .integer(0),
            "Validation tokens used each time, from the start of what is held out; 0 uses all."),
        RecipeKey(
            "evaluation.sample_prompt", .string,
            "Text continued after each validation, kept in samples/."),
        RecipeKey(
            "evaluation.sample_tokens", .integer(1...1_000_000), default: .integer(100),
            "Tokens of such a sample."),

        RecipeKey(
            "logging.every_steps", .integer(1...1_000_000_000), default: .integer(10),
            mayChangeOnResume: true,
            "Steps between progress lines where no terminal shows them; metrics.jsonl has every step."
        ),
        RecipeKey(
            "logging.tensorboard", .boolean, default: .boolean(true), mayChangeOnResume: true,
            "Whether TensorBoard event files are written."),
    ]

    /// Keys by path.
    static let byPath = Dictionary(uniqueKeysWithValues: keys.map { ($0.path, $0) })

    /// Every section: `training`, `tokenizer.train`.
    static let sections: Set<String> = {
        var result = Set<String>()
        for key in keys {
            var parts = key.path.split(separator: ".").dropLast()
            while !parts.isEmpty {
                result.insert(parts.joined(separator: "."))
                parts = parts.dropLast()
            }
        }
        return result
    }()

    /// The valid path nearest to a misspelt one, if any is near: by edits to the whole path or to its last name.
    public static func nearest(to path: String) -> String? {
        func last(_ path: String) -> String {
            path.split(separator: ".").last.map(String.init) ?? path
        }
        let candidates = keys.map(\.path) + sections
        let ranked = candidates.map { candidate -> (distance: Int, path: String) in
            let whole = editDistance(path, candidate)
            // The right name in the wrong section counts as near.
            let misplaced = editDistance(last(path), last(candidate)) + 1
            return (min(whole, misplaced), candidate)
        }
        guard let best = ranked.min(by: { ($0.distance, $0.path) < ($1.distance, $1.path) }),
            best.distance <= max(2, last(path).count / 2)
        else { return nil }
        return best.path
    }
}

/// Levenshtein distance: insertions, deletions and replacements that turn one text into the other.
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
