import ForjaTestSupport
import Testing

@Suite("bench step")
struct BenchStepTests {
    @Test(
        "the profile's shares and the overhead make up the step",
        arguments: TestedDevice.selectors)
    func profile(device: String) throws {
        let outcome = try Workspace().run(
            "bench", "step", "--shape", "small", "--batch", "1", "--profile", "--device", device,
            "--json")
        #expect(outcome.status == 0, "\(outcome)")
        let report = try outcome.json()
        let overhead = try #require(report["overhead_fraction"] as? Double)
        let operations = try #require(report["operations"] as? [[String: Any]])
        let shares = try operations.map { try #require($0["share"] as? Double) }
        #expect(shares.allSatisfy { (0...1).contains($0) }, "\(shares)")
        #expect(abs(shares.reduce(overhead, +) - 1) < 1e-9, "\(shares) and \(overhead)")
        for operation in operations {
            #expect(try #require(operation["count"] as? Int) > 0, "\(operation)")
            #expect(try #require(operation["seconds"] as? Double) >= 0, "\(operation)")
        }
        #expect(operations.count > 10, "\(operations)")
    }

    @Test("no profile is in the document unless it is asked for")
    func withoutProfile() throws {
        let outcome = try Workspace().run(
            "bench", "step", "--shape", "small", "--batch", "1", "--device", "cpu", "--json")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(try outcome.json()["operations"] == nil)
    }
}
