import ForjaCore
import ForjaRuntime

/// A rank without others: for planning what a rank of a mesh would hold and send. It cannot exchange anything.
final class PlannedRank: Communicator {
    let rank = 0
    let rankCount: Int
    let progress: RankProgress

    init(rankCount: Int) {
        self.rankCount = rankCount
        progress = RankProgress(rank: 0)
    }

    func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) { refuse() }
    func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) { refuse() }
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) { refuse() }
    func barrier() { refuse() }
    func split(color: Int) -> any Communicator { refuse() }
    func abort(_ reason: ForjaError) {}

    private func refuse() -> Never { preconditionFailure("a planned rank has no others") }
}
