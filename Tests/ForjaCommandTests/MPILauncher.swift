import Foundation
import Testing

/// `mpirun` of one of the MPIs that tests run under.
enum MPILauncher: String, CaseIterable, CustomTestStringConvertible {
    case openMPI = "mpirun.openmpi"
    case mpich = "mpirun.mpich"

    /// The ones that are installed.
    static let installed = allCases.filter { $0.path != nil }
    static let isMissing: Comment = "needs mpirun.openmpi or mpirun.mpich: make deps"

    var testDescription: String { rawValue }

    private var path: String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .map { "\($0)/\(rawValue)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Starts `count` processes of the command that follows.
    func command(_ count: Int) -> [String] { [rawValue, "-n", "\(count)"] }

    /// Open MPI refuses root, which containers run as, and more ranks than cores.
    static let environment = [
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    ]

    /// The library of the other MPI, whose ranks this launcher does not know.
    var otherLibrary: String { self == .openMPI ? "libmpich.so.12" : "libmpi.so.40" }
}

extension Workspace {
    /// Runs `forja` in `count` processes to its end.
    func run(
        _ arguments: String..., under launcher: MPILauncher, processes count: Int,
        environment: [String: String] = [:]
    ) throws -> ForjaProcess.Outcome {
        try ForjaProcess(
            arguments, in: self,
            environment: MPILauncher.environment.merging(environment) { $1 },
            launcher: launcher.command(count)
        ).wait()
    }
}
