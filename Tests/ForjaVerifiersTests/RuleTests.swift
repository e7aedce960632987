import ForjaVerifiers
import Testing

@Suite("Rules of exact, regex and arithmetic")
struct RuleTests {
    @Test(
        "arithmetic compares by value",
        arguments: [
            ("#### 42", "42", 1), ("#### 042\n", "42", 1), ("####42", "+42", 1),
            ("41\n#### 42 ", "42", 1), ("42\n#### 41", "42", 0), ("#### -0", "0", 1),
            ("#### 42.", "42", 0), ("#### 1,000,000", "1000000", 1), ("so 42", "42", 1),
            ("#### 4 2", "42", 0), ("#### 123456789012345678901", "123456789012345678901", 1),
            ("6.42", "42", 0),
        ])
    func arithmetic(response: String, truth: String, score: Double) throws {
        #expect(try ArithmeticVerifier().score(response, truth: truth) == score)
    }

    @Test("arithmetic refuses what is no whole number", arguments: ["", "4.5", "four", "-"])
    func badInteger(truth: String) {
        #expect(throws: (any Error).self) { try ArithmeticVerifier().score("1", truth: truth) }
    }

    @Test("exact tells canonically equivalent texts apart")
    func exact() throws {
        #expect(try ExactVerifier().score("caf\u{e9}", truth: "cafe\u{301}") == 0)
        #expect(try ExactVerifier().score("\t caf\u{e9}\r\n", truth: "caf\u{e9}") == 1)
        #expect(try ExactVerifier().score(" ", truth: "") == 1)
    }

    @Test("regex refuses a pattern that is none, and ends on one that never would")
    func regex() throws {
        #expect(throws: (any Error).self) { try RegexVerifier().score("a", truth: "(a") }
        let long = String(repeating: "ab", count: 50_000)
        #expect(try RegexVerifier().score(long + "c", truth: "c$") == 1)
        #expect(
            try RegexVerifier().score(String(long.prefix(2000)) + "!", truth: "^(\\w+\\s?)*$") == 0)
    }
}
