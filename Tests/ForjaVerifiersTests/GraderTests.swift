import ForjaCore
import ForjaVerifiers
import Testing

@Suite("Grader")
struct GraderTests {
    private struct Stuck: Verifier {
        static let name = "stuck"
        static let selfTest: [VerifierCase] = [.right("a", truth: "a"), .wrong("b", truth: "a")]
        let always: Double
        func score(_ response: String, truth: String) throws(ForjaError) -> Double { always }
    }

    private struct Untested: Verifier {
        static let name = "untested"
        static let selfTest: [VerifierCase] = [.right("a", truth: "a")]
        func score(_ response: String, truth: String) throws(ForjaError) -> Double { 1 }
    }

    /// Right on the cases it knows, and only there.
    private struct Infinite: Verifier {
        static let name = "infinite"
        static let selfTest: [VerifierCase] = [.right("a", truth: "a"), .wrong("b", truth: "a")]
        func score(_ response: String, truth: String) throws(ForjaError) -> Double {
            switch response {
            case "a": 1
            case "b": 0
            default: .nan
            }
        }
    }

    private func failure(_ body: () throws(ForjaError) -> Void) -> ForjaError? {
        do throws(ForjaError) {
            try body()
            return nil
        } catch { return error }
    }

    @Test("every verifier passes its self-test", arguments: Grader.names)
    func shipped(name: String) throws {
        #expect(try Grader(named: name).name == name)
    }

    @Test("a verifier that answers one score to everything is refused", arguments: [0.0, 1, .nan])
    func stuck(score: Double) {
        let error = failure { () throws(ForjaError) in _ = try Grader(Stuck(always: score)) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("stuck") == true)
    }

    @Test("a self-test without a wrong response is refused")
    func untested() {
        #expect(failure { () throws(ForjaError) in _ = try Grader(Untested()) } != nil)
    }

    @Test("an unknown name is answered with the known ones")
    func unknown() {
        let error = failure { () throws(ForjaError) in _ = try Grader(named: "gsm9k") }
        #expect(error?.message.contains("gsm9k") == true)
        for name in Grader.names { #expect(error?.fix?.contains(name) == true) }
    }

    @Test("one accepted answer is enough, none is an error, a score that is not finite too")
    func accepted() throws {
        let grader = try Grader(ExactVerifier())
        #expect(try grader.score("b", accepted: ["a", "b"]) == 1)
        #expect(try grader.score("c", accepted: ["a", "b"]) == 0)
        #expect(
            failure { () throws(ForjaError) in _ = try grader.score("c", accepted: []) } != nil)
        let infinite = try Grader(Infinite())
        let error = failure { () throws(ForjaError) in
            _ = try infinite.score("c", accepted: ["a"])
        }
        #expect(error?.code == .notFinite)
    }

    @Test("a wrong answer among the accepted is found whatever the response")
    func badTruth() throws {
        let grader = try Grader(ArithmeticVerifier())
        #expect(
            failure { () throws(ForjaError) in _ = try grader.score("1", accepted: ["1", "x"]) }
                != nil)
    }
}
