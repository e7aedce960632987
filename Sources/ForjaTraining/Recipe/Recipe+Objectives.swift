import ForjaData
import ForjaFormats
import ForjaObjectives

/// The keys of fine-tuning and preferences.
extension Recipe {
    /// `nil`: the model's own.
    public var chatTemplate: ChatTemplate? {
        string("data.chat_template").map { ChatTemplate(ChatTemplate.Kind(rawValue: $0)!) }
    }
    public var badRows: BadRowPolicy { BadRowPolicy(rawValue: string("data.bad_rows")!)! }
    public var packing: PackedExamples.Packing {
        string("data.packing").map { PackedExamples.Packing(rawValue: $0)! } ?? .none
    }

    /// Of stage sft.
    public var likelihood: LikelihoodObjective {
        LikelihoodObjective(
            reduction: LikelihoodObjective.Reduction(rawValue: string("objective.reduction")!)!)
    }

    /// Of stage dpo.
    public var preference: PreferenceObjective {
        let beta = number("objective.beta")
        let loss: PreferenceObjective.Loss =
            switch string("objective.loss")! {
            case "dpo": .dpo(beta: beta ?? 0.1)
            case "dpo_norm": .dpoNorm(beta: beta ?? 5)
            default:
                .simPO(
                    beta: beta ?? 2,
                    gammaRatio: number("objective.gamma").map { $0 / (beta ?? 2) } ?? 0.3)
            }
        return PreferenceObjective(loss, labelSmoothing: number("objective.label_smoothing")!)
    }
}
