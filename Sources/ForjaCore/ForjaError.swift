/// What went wrong, with the values seen, and what to do about it.
///
/// A message ends in an action the user can take:
///
///     error: parallel.tensor is 8 but the model has 4 key-value heads (recipes/llama-1b.yaml:14)
///       fix: set parallel.tensor to 1, 2 or 4
public struct ForjaError: Error, Sendable {
    /// The kind of failure; decides exit code and whether retrying can help.
    public enum Code: String, Sendable {
        /// A value the user gave cannot be: a recipe key, an option, a shape.
        case invalidInput
        /// Tensors that do not fit together.
        case shapeMismatch
        /// A file is missing, unreadable, unwritable or the disk is full.
        case inputOutput
        /// A file is damaged, or of a format or version that is not supported.
        case damagedFile
        /// Host, device or configured memory does not suffice.
        case outOfMemory
        /// A device or driver failed.
        case device
        /// The machine lacks what was asked for.
        case unavailable
        /// Training met NaN or infinity.
        case notFinite
        /// A signal asked the work to stop; state was saved.
        case interrupted
        /// Another rank of the mesh failed, hangs, or does not do the same.
        case rankFailed
    }

    public var code: Code
    /// One line: what was seen and what was expected.
    public var message: String
    /// One line: what to do; `nil` only where the message already says it.
    public var fix: String?
    /// Text of an underlying failure, such as a compiler's log.
    public var cause: String?

    public init(_ code: Code, _ message: String, fix: String? = nil, cause: String? = nil) {
        self.code = code
        self.message = message
        self.fix = fix
        self.cause = cause
    }
}

extension ForjaError: CustomStringConvertible {
    public var description: String {
        var text = message
        if let cause { text += "\n  cause: \(cause)" }
        if let fix { text += "\n  fix: \(fix)" }
        return text
    }
}
