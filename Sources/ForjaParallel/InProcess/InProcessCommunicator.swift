import ForjaCore
import ForjaRuntime

/// A rank's place in a group of threads.
final class InProcessCommunicator: Communicator {
    let rank: Int
    private let meeting: RankMeeting

    init(meeting: RankMeeting, rank: Int) {
        self.meeting = meeting
        self.rank = rank
    }

    var rankCount: Int { meeting.members.count }
    var progress: RankProgress { meeting.world.progress[meeting.members[rank]] }

    func exchange(
        _ bytes: UnsafeRawBufferPointer, bounds: [Int],
        _ body: (_ chunks: [UnsafeRawBufferPointer]) -> Void
    ) throws(ForjaError) {
        let own = bounds[rank]..<bounds[rank + 1]
        try meet("exchange", bytes, sentByteCount: bytes.count - own.count) { others in
            body(
                others.map {
                    UnsafeRawBufferPointer(start: $0! + own.lowerBound, count: own.count)
                })
        }
    }

    func allGather(_ bytes: UnsafeMutableRawBufferPointer, bounds: [Int]) throws(ForjaError) {
        let own = bounds[rank + 1] - bounds[rank]
        try meet(
            "all-gather", UnsafeRawBufferPointer(bytes), sentByteCount: own * (rankCount - 1)
        ) { others in
            for (other, source) in others.enumerated() where other != rank {
                let part = bounds[other]..<bounds[other + 1]
                guard !part.isEmpty else { continue }
                (bytes.baseAddress! + part.lowerBound).copyMemory(
                    from: source! + part.lowerBound, byteCount: part.count)
            }
        }
    }

    func broadcast(
        _ bytes: UnsafeMutableRawBufferPointer, from root: Int
    ) throws(ForjaError) {
        try meet(
            "broadcast", UnsafeRawBufferPointer(bytes), sentByteCount: bytes.count
        ) { others in
            guard rank != root, let target = bytes.baseAddress else { return }
            target.copyMemory(from: others[root]!, byteCount: bytes.count)
        }
    }

    func barrier() throws(ForjaError) {
        try meet("barrier", UnsafeRawBufferPointer(start: nil, count: 0), sentByteCount: 0) { _ in
        }
    }

    func split(color: Int) throws(ForjaError) -> any Communicator {
        let (postings, generation) = try meeting.begin(
            rank: rank,
            RankMeeting.Posting(operation: "split", byteCount: 0, value: color))
        meeting.end()
        let same = postings.indices.filter { postings[$0].value == color }
        let group = meeting.world.meeting(
            RankWorld.SplitKey(
                parent: ObjectIdentifier(meeting), generation: generation, color: color),
            members: same.map { meeting.members[$0] })
        return InProcessCommunicator(meeting: group, rank: same.firstIndex(of: rank)!)
    }

    func abort(_ reason: ForjaError) {
        guard reason.code != .rankFailed else { return meeting.world.stop(reason) }
        var named = reason
        named.code = .rankFailed
        named.message = "\(progress.description): \(reason.message)"
        meeting.world.stop(named)
    }

    private func meet(
        _ operation: String, _ bytes: UnsafeRawBufferPointer, sentByteCount: Int,
        _ body: (_ others: [UnsafeRawPointer?]) -> Void
    ) throws(ForjaError) {
        let (postings, _) = try meeting.begin(
            rank: rank,
            RankMeeting.Posting(
                operation: operation, byteCount: bytes.count, pointer: bytes.baseAddress))
        body(postings.map(\.pointer))
        meeting.end()
        meeting.world.link?.delay(byteCount: sentByteCount)
    }
}
