import ForjaCore
import ForjaRuntime

/// One rank of a mesh with its groups: what a training engine needs to know of parallelism.
///
/// One thread at a time calls a group. `world` is the rank's own thread's. `data` and `tensor` are the communication
/// thread's for as long as it has collectives under way, which may be until the next step's forward pass.
public final class MeshRank: Sendable {
    public let mesh: Mesh
    /// Every rank of the mesh.
    public let world: Collectives
    /// The ranks with the same part of the model.
    public let data: Collectives
    /// The ranks that hold one model together.
    public let tensor: Collectives

    /// Splits the group of all ranks. Every rank calls it at once.
    ///
    /// - Throws: `.invalidInput` when `world` has another number of ranks than the mesh.
    public init(mesh: Mesh, world: any Communicator) throws(ForjaError) {
        guard world.rankCount == mesh.rankCount else {
            throw ForjaError(
                .invalidInput,
                "the mesh is \(mesh.description), \(mesh.rankCount) ranks, and there are "
                    + "\(world.rankCount)",
                fix: "start \(mesh.rankCount) ranks, or set parallel.data and parallel.tensor so "
                    + "that their product is \(world.rankCount)")
        }
        self.mesh = mesh
        self.world = Collectives(world)
        data = Collectives(try world.split(color: mesh.tensorIndex(of: world.rank)))
        tensor = Collectives(try world.split(color: mesh.dataIndex(of: world.rank)))
    }

    /// The only rank of a run on one device.
    public static let single = MeshRank()

    private init() {
        mesh = Mesh(data: 1, tensor: 1)
        world = Collectives()
        data = Collectives()
        tensor = Collectives()
    }

    /// The first rank of a mesh that is only planned: nothing it records can run.
    public init(planning mesh: Mesh) {
        self.mesh = mesh
        func group(_ rankCount: Int) -> Collectives {
            rankCount == 1 ? Collectives() : Collectives(PlannedRank(rankCount: rankCount))
        }
        world = group(mesh.rankCount)
        data = group(mesh.data)
        tensor = group(mesh.tensor)
    }

    public var rank: Int { world.rank }
    /// Rank 0 alone prints and writes what a run has once.
    public var isFirst: Bool { rank == 0 }
    public var progress: RankProgress { world.progress }
    /// Places in the world of the ranks of `data`, in order.
    public var dataMembers: [Int] {
        (0..<mesh.rankCount).filter { mesh.tensorIndex(of: $0) == mesh.tensorIndex(of: rank) }
    }
}
