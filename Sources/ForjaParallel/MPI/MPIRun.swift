import CMPI
import ForjaCore
import ForjaRuntime
import Foundation

/// This process as one rank of several that an MPI launcher started.
///
/// One for a process, from `start` to `finish` or `abort`. Rank 0 alone prints and writes what a run has once.
public final class MPIRun: Sendable {
    /// Every rank of the run.
    public let world: any Communicator
    /// The library's own name and version.
    public let libraryVersion: String
    /// CPU threads for this rank, so that the ranks of a host share its cores fairly.
    public let threadCount: Int
    /// Ranks on this host, and this one's place among them.
    public let hostRankCount: Int
    public let hostRank: Int

    /// Opens the launcher's MPI and joins the other ranks. Call once, from the main thread, before others read the
    /// environment.
    ///
    /// - Parameter version: Of this program; ranks that give different ones are refused.
    /// - Throws: `.unavailable` when no MPI opens, or when it sees other processes than the launcher started.
    public static func start(_ launch: Launch, version: String) throws(ForjaError) -> MPIRun {
        let names = launch.libraryNames.map { strdup($0) }
        defer { for name in names { free(name) } }
        let status = forja_mpi_start(
            names.map { UnsafePointer($0) }, names.count, Int32(clamping: launch.processCount ?? 0))
        guard status == FORJA_MPI_OK else {
            let message = String(cString: forja_mpi_last_error())
            // Joined, but with the wrong others, if with any.
            forja_mpi_finalize()
            throw ForjaError(
                .unavailable, message,
                fix: status == FORJA_MPI_ERROR_LAUNCHER
                    ? launch.mismatchFix : launch.installationFix)
        }
        let world = try MPICommunicator.world()
        try requireSame(version, among: Collectives(world))
        return try MPIRun(world: world)
    }

    private init(world: MPICommunicator) throws(ForjaError) {
        let host = try world.splitByHost()
        let masks = try Collectives(host).gather(CoreSet.ofThisProcess.list)
            .map { CoreSet(list: $0) }
        self.world = world
        libraryVersion = String(cString: forja_mpi_library_version())
        threadCount = CoreSet.fairThreadCount(of: host.rank, among: masks)
        hostRankCount = host.rankCount
        hostRank = host.rank
    }

    /// How long one collective may take before the run is given up.
    public func setTimeout(seconds: Double) { forja_mpi_set_timeout(seconds) }

    /// Leaves MPI. Every rank calls it, after its last collective.
    public func finish() throws(ForjaError) { try mpiCheck(forja_mpi_finalize()) }

    /// Says why on standard error and ends every process of the run.
    public func abort(_ reason: ForjaError) -> Never {
        Self.abort(reason, progress: world.progress)
    }

    static func abort(_ reason: ForjaError, progress: RankProgress) -> Never {
        // What is wrong on every rank is said once: rank 0 ends the others before they speak.
        if progress.rank > 0 { Thread.sleep(forTimeInterval: 2) }
        let place =
            progress.step > 0 ? progress.description : "rank \(progress.rank) on \(progress.host)"
        FileHandle.standardError.write(Data("error: \(place): \(reason)\n".utf8))
        // Launchers pass on what ranks write, and MPICH's drops what it has not yet read when a rank aborts.
        Thread.sleep(forTimeInterval: 0.5)
        forja_mpi_abort(1)
    }

    /// Refuses ranks that run another build than rank 0.
    package static func requireSame(
        _ version: String, among world: Collectives
    ) throws(ForjaError) {
        let versions = try world.gather(version)
        guard let other = versions.firstIndex(where: { $0 != versions[0] }) else { return }
        throw ForjaError(
            .invalidInput,
            "rank 0 runs Forja \(versions[0]) and rank \(other) runs \(versions[other])",
            fix: "give every host the same build")
    }
}
