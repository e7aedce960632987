import ForjaCore

/// What an MPI launcher told this process by its environment: that it is one of several, and whose library to open.
///
/// A function of the environment alone. A launcher of one process counts as none: nothing there needs MPI.
public struct Launch: Hashable, Sendable {
    /// Who started the process, by the variable that shows it.
    public enum Launcher: Hashable, Sendable {
        /// `mpirun` of Open MPI: `OMPI_COMM_WORLD_SIZE`.
        case openMPI
        /// Hydra, `mpirun` of MPICH and Intel MPI, or Slurm speaking its protocol: `PMI_SIZE`.
        case hydra
        /// A launcher that speaks PMIx, such as `srun --mpi=pmix`: `PMIX_RANK`.
        case pmix
        /// `srun` that speaks no MPI's protocol: `SLURM_STEP_NUM_TASKS`. Never `SLURM_NTASKS`, which every batch script has.
        case slurm
    }

    /// Names a library to open instead of the launcher's.
    public static let libraryVariable = "FORJA_MPI_LIBRARY"

    public let launcher: Launcher
    /// Processes that the launcher started; `nil` when it does not say.
    public let processCount: Int?
    /// The library that the environment names.
    public let namedLibrary: String?
    private let isWithinSlurm: Bool

    /// - Returns: `nil` without a launcher, or with one that started one process.
    public init?(environment: [String: String]) {
        func number(_ name: String) -> Int? {
            environment[name].flatMap(Int.init).flatMap { $0 >= 0 ? $0 : nil }
        }
        // The innermost launcher counts: mpirun works inside a Slurm step, srun not inside mpirun.
        if let count = number("OMPI_COMM_WORLD_SIZE") {
            launcher = .openMPI
            processCount = count
        } else if let count = number("PMI_SIZE") {
            launcher = .hydra
            processCount = count
        } else if number("PMIX_RANK") != nil {
            launcher = .pmix
            processCount = number("SLURM_STEP_NUM_TASKS")
        } else if let count = number("SLURM_STEP_NUM_TASKS") {
            launcher = .slurm
            processCount = count
        } else {
            return nil
        }
        isWithinSlurm = number("SLURM_STEP_NUM_TASKS") != nil
        namedLibrary = environment[Self.libraryVariable].flatMap { $0.isEmpty ? nil : $0 }
        if let processCount, processCount <= 1 { return nil }
    }

    private static let openMPILibraries = ["libmpi.so.40"]
    /// Debian's name, the one that MPICH's own build and Intel MPI have, and MVAPICH's and Cray's.
    private static let mpichLibraries = ["libmpich.so.12", "libmpi.so.12", "libmpi_cray.so.12"]

    /// Names for dlopen, in order.
    public var libraryNames: [String] {
        if let namedLibrary { return [namedLibrary] }
        switch launcher {
        case .openMPI: return Self.openMPILibraries
        // Slurm's PMI-2 serves both.
        case .hydra: return Self.mpichLibraries + (isWithinSlurm ? Self.openMPILibraries : [])
        case .pmix, .slurm: return Self.openMPILibraries + Self.mpichLibraries
        }
    }

    /// How to get a library that opens.
    package var installationFix: String {
        let other = "or name one in \(Self.libraryVariable)"
        return switch launcher {
        case .openMPI:
            "install Open MPI (Debian and Ubuntu: openmpi-bin; clusters: module load openmpi), \(other)"
        case .hydra:
            "install MPICH (Debian and Ubuntu: mpich; clusters: module load mpich), \(other)"
        case .pmix, .slurm:
            "install an MPI (Debian and Ubuntu: openmpi-bin or mpich; clusters: module load openmpi), \(other)"
        }
    }

    /// What to do when library and launcher do not know each other.
    package var mismatchFix: String {
        let library = "name the launcher's own library in \(Self.libraryVariable)"
        return isWithinSlurm
            ? "start with srun --mpi=pmix for Open MPI or --mpi=pmi2 for MPICH, as srun --mpi=list offers; or \(library)"
            : "start with the library's own mpirun (Debian: mpirun.openmpi, mpirun.mpich); or \(library)"
    }
}
