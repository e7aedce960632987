import ForjaCore
import ForjaRuntime

/// Starts a mesh's ranks and gives each its groups.
public enum RankLauncher {
    /// Runs `body` once for each rank: a mesh of one on the calling thread, others as threads of this process.
    ///
    /// - Parameters:
    ///   - timeoutSeconds: How long ranks wait for each other.
    ///   - link: As `InProcessRanks` takes it.
    /// - Returns: What the ranks returned, in order.
    /// - Throws: The first failure that is a rank's own.
    public static func run<Result: Sendable>(
        _ mesh: Mesh, timeoutSeconds: Double, link: SimulatedLink? = nil,
        _ body: @escaping @Sendable (MeshRank) throws(ForjaError) -> Result
    ) throws(ForjaError) -> [Result] {
        guard mesh.rankCount > 1 else { return [try body(.single)] }
        return try InProcessRanks.run(
            count: mesh.rankCount, timeoutSeconds: timeoutSeconds, link: link
        ) { world throws(ForjaError) in
            try body(try MeshRank(mesh: mesh, world: world))
        }
    }
}
