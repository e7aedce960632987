import ForjaCore
import Synchronization

/// How far a rank of the mesh has come: what others say of it when it fails or stays away.
public final class RankProgress: Sendable {
    /// Place in the whole mesh, from 0.
    public let rank: Int
    /// Name of the machine.
    public let host: String
    private let currentStep = Atomic<Int>(0)
    private let currentCollective = Atomic<Int>(0)
    private let heartbeat = Mutex<(file: Heartbeat, directory: String)?>(nil)

    public init(rank: Int, host: String = hostName()) {
        self.rank = rank
        self.host = host
    }

    /// Writes from now on every step and collective to this rank's file in a directory that all ranks see.
    ///
    /// - Throws: `.inputOutput` when the file cannot be written.
    public func keepHeartbeat(in directory: String) throws(ForjaError) {
        let file = try Heartbeat(of: rank, in: directory)
        heartbeat.withLock { $0 = (file, directory) }
    }

    /// How far another rank had come by its own heartbeat: "rank 2 on node7, step 31, collective 4"; `nil` without one.
    public func lastHeartbeat(of rank: Int) -> String? {
        heartbeat.withLock { $0?.directory }.flatMap { Heartbeat.last(of: rank, in: $0) }
    }

    /// The optimizer step being made, from 1; 0 before the first.
    public var step: Int { currentStep.load(ordering: .relaxed) }
    /// Collectives begun in that step.
    public var collective: Int { currentCollective.load(ordering: .relaxed) }

    public func begin(step: Int) {
        currentCollective.store(0, ordering: .relaxed)
        currentStep.store(step, ordering: .relaxed)
        beat()
    }

    /// Counts a collective. Called by `Collectives`.
    package func beginCollective() {
        currentCollective.add(1, ordering: .relaxed)
        beat()
    }

    private func beat() { heartbeat.withLock { $0?.file.write(description) } }

    /// "rank 2 on node7, step 31, collective 4"
    public var description: String {
        "rank \(rank) on \(host), step \(step), collective \(collective)"
    }
}
