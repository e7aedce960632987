import ForjaCore
import ForjaRuntime

/// Starts a mesh's ranks and gives each its groups.
public enum RankLauncher {
    /// Runs `body` once for each rank of this process: one on the calling thread, several as threads.
    ///
    /// - Parameters:
    ///   - timeoutSeconds: How long ranks wait for each other.
    ///   - processes: What the launcher started, when it did: the ranks then, of which this process is one.
    ///   - link: As `InProcessRanks` takes it.
    /// - Returns: What the ranks of this process returned, in order.
    /// - Throws: The first failure that is a rank's own.
    public static func run<Result: Sendable>(
        _ mesh: Mesh, timeoutSeconds: Double, processes: MPIRun? = nil,
        link: SimulatedLink? = nil,
        _ body: @escaping @Sendable (MeshRank) throws(ForjaError) -> Result
    ) throws(ForjaError) -> [Result] {
        if let processes { return [try body(try MeshRank(mesh: mesh, world: processes.world))] }
        guard mesh.rankCount > 1 else { return [try body(.single)] }
        return try InProcessRanks.run(
            count: mesh.rankCount, timeoutSeconds: timeoutSeconds, link: link
        ) { world throws(ForjaError) in
            try body(try MeshRank(mesh: mesh, world: world))
        }
    }
}
