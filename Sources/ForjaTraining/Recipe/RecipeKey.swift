/// A value of a recipe after checking.
public enum RecipeValue: Hashable, Sendable {
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    case string(String)
    case strings([String])
}

/// One key of the recipe schema: where it stands, what it takes, what it means.
public struct RecipeKey: Sendable {
    public enum Kind: Sendable {
        case integer(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        case boolean
        case string
        case choice([String])
        /// A file or directory, relative to the recipe.
        case path
        /// One path or a list of them.
        case paths
    }

    /// `training.max_steps`
    public let path: String
    public let kind: Kind
    /// What an absent key means; `nil`: absent stays absent.
    public let defaultValue: RecipeValue?
    /// One line for the reference.
    public let summary: String
    /// May differ on resume.
    public let mayChangeOnResume: Bool
    /// Stages that read the key; given for another, it is refused.
    public let stages: [Recipe.Stage]
    /// Stages of these in which an absent key means `defaultValue`; in the others it stays absent.
    public let stagesWithDefault: [Recipe.Stage]
    /// On resume another path will do if the same contents are there (`RunManifest.checkContents`).
    public let isComparedByContent: Bool

    init(
        _ path: String, _ kind: Kind, default defaultValue: RecipeValue? = nil,
        of stages: [Recipe.Stage] = Recipe.Stage.allCases,
        defaultOf stagesWithDefault: [Recipe.Stage]? = nil, mayChangeOnResume: Bool = false,
        isComparedByContent: Bool = false, _ summary: String
    ) {
        self.path = path
        self.kind = kind
        self.defaultValue = defaultValue
        self.mayChangeOnResume = mayChangeOnResume
        self.isComparedByContent = isComparedByContent
        self.stages = stages
        self.stagesWithDefault = stagesWithDefault ?? stages
        self.summary = summary
    }
}
