/// The keys of stage grpo.
extension RecipeSchema {
    static let groupRelativeKeys: [RecipeKey] = [
        RecipeKey(
            "grpo.preset", .choice(["grpo_plus", "tulu3_1", "dr_grpo"]),
            default: .string("grpo_plus"), of: [.grpo],
            "Whose settings hold where the keys below are absent (docs/post-training.md)."),
        RecipeKey(
            "grpo.answers_per_prompt", .integer(1...65_536), of: [.grpo],
            "Answers of a rollout set. Absent: the preset's."),
        RecipeKey(
            "grpo.updates_per_batch", .integer(1...1024), of: [.grpo],
            "Optimizer steps that share out the answers of one batch. Absent: the preset's."),
        RecipeKey(
            "grpo.temperature", .number(0.01...100), of: [.grpo],
            "Divides logits, when answers are drawn and when they are trained on. Absent: the preset's."
        ),
        RecipeKey(
            "grpo.max_answer_tokens", .integer(1...16_777_216), of: [.grpo],
            "Tokens of the longest answer, its end token included."),
        RecipeKey(
            "grpo.lengthening", .string, of: [.grpo],
            "Other limits from later steps on, as \"STEP:TOKENS, STEP:TOKENS\". Absent: none."),
        RecipeKey(
            "grpo.clip_low", .number(0...0.999), of: [.grpo],
            "Where probability ratios are clipped below 1. Absent: the preset's."),
        RecipeKey(
            "grpo.clip_high", .number(0...1000), of: [.grpo],
            "Where probability ratios are clipped above 1. Absent: the preset's."),
        RecipeKey(
            "grpo.kl_beta", .number(0...1000), of: [.grpo],
            "Weight of the KL term against the starting weights; above 0 they stay in memory. Absent: the preset's."
        ),
        RecipeKey(
            "grpo.aggregation",
            .choice(["token_mean", "constant", "sequence_mean", "sequence_sum"]), of: [.grpo],
            "What the sum over tokens is divided by. Absent: the preset's."),
        RecipeKey(
            "grpo.advantages", .choice(["standard_sample", "standard_population", "centred"]),
            of: [.grpo],
            "Rewards of a rollout set less their mean, over their deviation or not. Absent: the preset's."
        ),
        RecipeKey(
            "grpo.overlong", .choice(["none", "ignore_wrong", "zero", "penalty"]), of: [.grpo],
            "What becomes of answers cut at the limit. Absent: the preset's."),
        RecipeKey(
            "grpo.overlong_buffer_tokens", .integer(1...16_777_216), default: .integer(1024),
            of: [.grpo], "penalty: tokens before the limit over which the reward falls by 1."),
        RecipeKey(
            "grpo.importance_cap", .number(0...1e6), default: .number(2), of: [.grpo],
            "Bound on the weights that correct for a sampler unlike the trainer; 0 only measures."),
        RecipeKey(
            "grpo.reward_scale", .number(1e-6...1e6), default: .number(1), of: [.grpo],
            "What a verifier's score is multiplied by."),
        RecipeKey(
            "grpo.verifier", .string, of: [.grpo],
            "Verifier of rows that name none (docs/verifiers.md)."),
        RecipeKey(
            "grpo.pipelined", .boolean, default: .boolean(false), of: [.grpo],
            "Samples the next batch, on a part of the device or cores, while this one is trained on: answers are a batch old."
        ),
        RecipeKey(
            "grpo.sampler_threads", .integer(0...65_536), default: .integer(0), of: [.grpo],
            mayChangeOnResume: true,
            "pipelined on the CPU: threads that sample, the others train; 0: half of them."),
        RecipeKey(
            "grpo.answers_at_once", .integer(1...65_536), default: .integer(32), of: [.grpo],
            "Answers that a rank samples together; each takes memory for its keys and values."),
        RecipeKey(
            "grpo.validation_rows", .integer(0...1_000_000_000), default: .integer(0),
            of: [.grpo], "Held-out rows answered at each validation; 0: all."),
    ]
}
