import ForjaParallel
import Testing

// Environments as the launchers' own documentation lists them, and as Open MPI 4.1 and MPICH 4.0 were seen to set them.
@Suite("Detecting an MPI launcher")
struct LaunchTests {
    private let openMPI = [
        "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "PMIX_RANK": "1", "PMIX_NAMESPACE": "449642497",
    ]
    private let hydra = ["PMI_SIZE": "4", "PMI_RANK": "1", "PMI_FD": "6", "MPI_LOCALNRANKS": "2"]
    private let batch = [
        "SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NPROCS": "8", "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0", "SLURM_NNODES": "2",
    ]
    private var step: [String: String] {
        batch.merging(["SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "0"]) { $1 }
    }

    @Test("finds none in a plain environment or a bare batch script")
    func none() {
        #expect(Launch(environment: [:]) == nil)
        #expect(Launch(environment: ["PATH": "/bin", "HOME": "/root"]) == nil)
        #expect(Launch(environment: batch) == nil)
    }

    @Test("takes a launcher of one process as none")
    func oneProcess() {
        #expect(Launch(environment: ["OMPI_COMM_WORLD_SIZE": "1"]) == nil)
        #expect(Launch(environment: ["PMI_SIZE": "1", "PMI_RANK": "0"]) == nil)
        #expect(Launch(environment: ["SLURM_STEP_NUM_TASKS": "1"]) == nil)
        #expect(Launch(environment: ["PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"]) == nil)
    }

    @Test("knows mpirun of Open MPI and its library")
    func openMPIRun() throws {
        let launch = try #require(Launch(environment: openMPI))
        #expect(launch.launcher == .openMPI)
        #expect(launch.processCount == 4)
        #expect(launch.libraryNames == ["libmpi.so.40"])
    }

    @Test("knows hydra and the names of MPICH's libraries")
    func hydraRun() throws {
        let launch = try #require(Launch(environment: hydra))
        #expect(launch.launcher == .hydra)
        #expect(launch.processCount == 4)
        #expect(launch.libraryNames.first == "libmpich.so.12")
        #expect(!launch.libraryNames.contains("libmpi.so.40"))
    }

    @Test("knows srun with PMIx, with PMI-2 and without either")
    func slurm() throws {
        let pmix = try #require(Launch(environment: step.merging(["PMIX_RANK": "3"]) { $1 }))
        #expect(pmix.launcher == .pmix)
        #expect(pmix.processCount == 8)
        #expect(pmix.libraryNames.first == "libmpi.so.40")
        let pmi2 = try #require(
            Launch(environment: step.merging(["PMI_SIZE": "8", "PMI_RANK": "3"]) { $1 }))
        #expect(pmi2.launcher == .hydra)
        #expect(pmi2.libraryNames.contains("libmpi.so.40"))
        let bare = try #require(Launch(environment: step))
        #expect(bare.launcher == .slurm)
        #expect(bare.processCount == 8)
        #expect(bare.mismatchFix.contains("srun --mpi=pmix"))
    }

    @Test("takes PMIx without Slurm, which does not tell how many processes there are")
    func pmix() throws {
        let launch = try #require(Launch(environment: ["PMIX_RANK": "0"]))
        #expect(launch.launcher == .pmix)
        #expect(launch.processCount == nil)
    }

    @Test("lets mpirun inside a Slurm allocation count, not the allocation")
    func mpirunWithinSlurm() throws {
        let inner = try #require(Launch(environment: batch.merging(openMPI) { $1 }))
        #expect(inner.launcher == .openMPI)
        #expect(inner.processCount == 4)
        // Hydra starts its proxies, one a node, by srun.
        let proxied = try #require(
            Launch(
                environment: hydra.merging(["SLURM_STEP_NUM_TASKS": "2"]) { own, _ in own }))
        #expect(proxied.processCount == 4)
    }

    @Test("passes over values that are no numbers")
    func malformed() throws {
        #expect(Launch(environment: ["OMPI_COMM_WORLD_SIZE": "many", "PMIX_RANK": ""]) == nil)
        #expect(Launch(environment: ["PMI_SIZE": "-3"]) == nil)
        let next = try #require(
            Launch(environment: ["OMPI_COMM_WORLD_SIZE": "x", "PMI_SIZE": "2"]))
        #expect(next.launcher == .hydra)
    }

    @Test("opens the library that the environment names, and no other")
    func namedLibrary() throws {
        let path = "/opt/mpi/lib/libmpi.so"
        let named = try #require(
            Launch(environment: openMPI.merging(["FORJA_MPI_LIBRARY": path]) { $1 }))
        #expect(named.libraryNames == [path])
        let empty = try #require(
            Launch(environment: openMPI.merging(["FORJA_MPI_LIBRARY": ""]) { $1 }))
        #expect(empty.libraryNames == ["libmpi.so.40"])
    }
}
