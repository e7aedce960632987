import ForjaCore
import ForjaParallel
import ForjaRuntime
import Testing

@Suite("Joining the ranks of a run")
struct MPIRunTests {
    /// What each of three ranks, of which rank `other` has another build, says of it; "" for nothing.
    private func refusals(other: Int?) throws -> [String] {
        try InProcessRanks.run(count: 3, timeoutSeconds: 60) { communicator throws(ForjaError) in
            do throws(ForjaError) {
                try MPIRun.requireSame(
                    communicator.rank == other ? "1.1" : "1.0", among: Collectives(communicator))
                return ""
            } catch {
                return error.message
            }
        }
    }

    @Test("ranks of one build are welcome")
    func oneBuild() throws {
        #expect(try refusals(other: nil) == ["", "", ""])
    }

    @Test("ranks of two builds are refused on every rank, with rank and versions")
    func twoBuilds() throws {
        let message = "rank 0 runs Forja 1.0 and rank 2 runs 1.1"
        #expect(try refusals(other: 2) == [message, message, message])
    }
}
