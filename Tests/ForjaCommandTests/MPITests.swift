import Foundation
import Testing

@Suite(
    "Ranks under MPI", .serialized,
    .enabled(if: !MPILauncher.installed.isEmpty, MPILauncher.isMissing))
struct MPITests {
    private static let sizes = ["--bytes", "4", "--bytes", "4100", "--bytes", "3000000"]

    /// Checksums of rank 0's results, by collective and size.
    private func checksums(_ outcome: ForjaProcess.Outcome) throws -> [String] {
        try #require(outcome.status == 0, "\(outcome)")
        let rows = try #require(try outcome.json()["rows"] as? [[String: Any]])
        return rows.map { "\($0["collective"]!) \($0["bytes"]!) \($0["checksum"]!)" }
    }

    @Test(
        "collectives have the bits of ranks that are threads", arguments: MPILauncher.installed,
        [2, 3])
    func sameBits(launcher: MPILauncher, count: Int) throws {
        let workspace = try Workspace()
        for dtype in ["f32", "bf16"] {
            let arguments =
                ["bench", "collectives", "--json", "--dtype", dtype] + Self.sizes
            let threads = try checksums(
                ForjaProcess(arguments + ["--ranks", "\(count)"], in: workspace).wait())
            let processes = try ForjaProcess(
                arguments, in: workspace, environment: MPILauncher.environment,
                launcher: launcher.command(count)
            ).wait()
            #expect(try checksums(processes) == threads)
            #expect(try processes.json()["ranks"] as? Int == count)
        }
    }

    @Test("rank 0 alone prints", arguments: MPILauncher.installed)
    func onePrints(launcher: MPILauncher) throws {
        let outcome = try Workspace().run(
            "bench", "collectives", "--bytes", "64", under: launcher, processes: 3)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.contains("3 ranks, 3 on this host"), "\(outcome)")
        #expect(outcome.output.components(separatedBy: "all-reduce").count == 2, "\(outcome)")
    }

    @Test(
        "a wrong number of processes is refused with what to do", arguments: MPILauncher.installed)
    func wrongCount(launcher: MPILauncher) throws {
        let outcome = try Workspace().run(
            "bench", "collectives", "--ranks", "4", under: launcher, processes: 2)
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("--ranks is 4 and the launcher started 2 processes"))
        #expect(outcome.errors.contains("fix: leave --ranks out, or start 4 processes"))
    }

    @Test("a machine without the library says how to install it", arguments: MPILauncher.installed)
    func noLibrary(launcher: MPILauncher) throws {
        let outcome = try Workspace().run(
            "bench", "collectives", under: launcher, processes: 2,
            environment: ["FORJA_MPI_LIBRARY": "libno-such-mpi.so.9"])
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("libno-such-mpi.so.9"), "\(outcome)")
        #expect(outcome.errors.contains("Debian and Ubuntu"), "\(outcome)")
    }

    @Test(
        "a launcher and a library of two MPIs are refused with the reason",
        .enabled(if: MPILauncher.installed.count == 2, MPILauncher.isMissing),
        arguments: MPILauncher.installed)
    func otherLibrary(launcher: MPILauncher) throws {
        let outcome = try Workspace().run(
            "bench", "collectives", under: launcher, processes: 2,
            environment: ["FORJA_MPI_LIBRARY": launcher.otherLibrary])
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("the launcher started 2 processes"), "\(outcome)")
        #expect(outcome.errors.contains("belongs to another MPI"), "\(outcome)")
        #expect(outcome.errors.contains("mpirun.openmpi, mpirun.mpich"), "\(outcome)")
    }
}
