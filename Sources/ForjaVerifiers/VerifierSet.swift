import ForjaCore

/// The verifiers of a run: each made once, which runs its self-test.
public struct VerifierSet {
    private let make: (String) throws(ForjaError) -> Grader
    private var graders: [String: Grader] = [:]

    /// - Parameter make: The grader of a verifier's name.
    public init(
        _ make: @escaping (String) throws(ForjaError) -> Grader = {
            (name) throws(ForjaError) in try Grader(named: name)
        }
    ) { self.make = make }

    /// The verifier of a check, once it can read the answers that the check accepts.
    ///
    /// - Parameters:
    ///   - name: `nil` where neither the row nor `option` names one.
    ///   - option: What names the verifier of rows that do not.
    /// - Throws: `.invalidInput` when there is no name, no such verifier, or it cannot read the answers; `.unavailable`
    ///   when it fails its self-test.
    public mutating func grader(
        named name: String?, of accepted: [String], option: String
    ) throws(ForjaError) -> Grader {
        guard let name else {
            throw ForjaError(
                .invalidInput, "the row names no verifier in \"dataset\"",
                fix: "add it, or give \(option): one of " + Grader.names.joined(separator: ", "))
        }
        let grader: Grader
        if let known = graders[name] { grader = known } else { grader = try make(name) }
        graders[name] = grader
        // Whether the truth can be one is the same for every response.
        _ = try grader.score("", accepted: accepted)
        return grader
    }
}
