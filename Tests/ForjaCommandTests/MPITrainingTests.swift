import ForjaTestSupport
import Foundation
import Testing

/// `mpirun -n N forja train`: the same bits as ranks that are threads, and what a user sees when a rank is lost.
@Suite(
    "Training under MPI", .serialized,
    .enabled(if: !MPILauncher.installed.isEmpty, MPILauncher.isMissing))
struct MPITrainingTests {
    private static let shards = [
        "optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors",
    ]

    /// Expects two runs on one mesh to have the same losses and, byte for byte, the same weights and moments.
    private func expectSameBits(
        _ a: String, _ b: String, steps: Int, shards: [String] = shards, in workspace: Workspace,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(
            workspace.stepMetrics(a).compactMap(\.loss).count == steps,
            sourceLocation: sourceLocation)
        #expect(
            workspace.stepMetrics(a) == workspace.stepMetrics(b), sourceLocation: sourceLocation)
        for name in ["model.safetensors"] + shards {
            let file = "checkpoints/step-\(steps)/\(name)"
            #expect(
                try workspace.data("\(a)/\(file)") == workspace.data("\(b)/\(file)"),
                "\(b): \(name)", sourceLocation: sourceLocation)
        }
    }

    private func start(
        _ run: String, _ settings: [String] = [], _ more: [String] = [], processes: Int = 2,
        under launcher: MPILauncher, in workspace: Workspace, device: String = "cpu",
        environment: [String: String] = [:]
    ) throws -> ForjaProcess {
        try ForjaProcess(
            Workspace.training(run, settings, more, device: device), in: workspace,
            environment: MPILauncher.environment.merging(environment) { $1 },
            launcher: launcher.command(processes))
    }

    @Test(
        "two processes give the bits of two threads", arguments: MPILauncher.installed,
        TestedDevice.selectors)
    func sameBits(launcher: MPILauncher, device: String) throws {
        let workspace = try Workspace()
        let settings = ["training.gradient_accumulation_steps=2"]
        let threads = try workspace.train(
            "threads", settings, ["--data-parallel", "2"], device: device)
        #expect(threads.status == 0, "\(threads)")
        // No degree is given: the processes share out the data.
        let processes = try start(
            "processes", settings, under: launcher, in: workspace, device: device
        ).wait()
        #expect(processes.status == 0, "\(processes)")
        try expectSameBits("threads", "processes", steps: 12, in: workspace)
        // Rank 0 alone prints.
        #expect(processes.errors.components(separatedBy: "step 12/12").count == 2, "\(processes)")
        #expect(processes.output.components(separatedBy: "12 steps in").count == 2, "\(processes)")
    }

    @Test(
        "four processes that recompute and share no optimizer state give the bits of four threads",
        arguments: MPILauncher.installed, TestedDevice.selectors)
    func sameBitsWithoutZeRO(launcher: MPILauncher, device: String) throws {
        let workspace = try Workspace()
        let settings = ["parallel.zero=0", "training.recompute=block"]
        let threads = try workspace.train(
            "threads", settings, ["--data-parallel", "4"], device: device)
        #expect(threads.status == 0, "\(threads)")
        let processes = try start(
            "processes", settings, processes: 4, under: launcher, in: workspace, device: device
        ).wait()
        #expect(processes.status == 0, "\(processes)")
        try expectSameBits(
            "threads", "processes", steps: 12,
            shards: ["optimizer.safetensors"], in: workspace)
    }

    @Test(
        "processes that share the model give the bits of threads that do",
        arguments: MPILauncher.installed, ["1", "2"])
    func sameBitsOfTensorRanks(launcher: MPILauncher, data: String) throws {
        let workspace = try Workspace()
        let device = TestedDevice.selectors.last ?? "cpu"
        let mesh = ["--data-parallel", data, "--tensor-parallel", "2"]
        let threads = try workspace.train(
            "threads", TensorMeshTests.model, mesh, device: device)
        #expect(threads.status == 0, "\(threads)")
        let processes = try start(
            "processes", TensorMeshTests.model, mesh, processes: data == "1" ? 2 : 4,
            under: launcher, in: workspace, device: device
        ).wait()
        #expect(processes.status == 0, "\(processes)")
        try expectSameBits(
            "threads", "processes", steps: 12,
            shards: data == "1"
                ? Self.shards
                : (1...4).map {
                    "optimizer-0000\($0)-of-00004.safetensors"
                }, in: workspace)
    }

    @Test("a mesh of another size is refused with what to set", arguments: MPILauncher.installed)
    func wrongMesh(launcher: MPILauncher) throws {
        let workspace = try Workspace()
        let outcome = try start(
            "run", [], ["--data-parallel", "2"], processes: 4, under: launcher, in: workspace
        ).wait()
        #expect(outcome.status != 0)
        let message = "the mesh is data 2 × tensor 1, 2 ranks, and the launcher started 4 processes"
        #expect(outcome.errors.components(separatedBy: message).count == 2, "\(outcome)")
        #expect(outcome.errors.contains("fix: start 2 processes"), "\(outcome)")
        #expect(!workspace.has("run"))
    }

    @Test(
        "ranks with different recipes or data are refused before the first step",
        arguments: MPILauncher.installed)
    func disagreement(launcher: MPILauncher) throws {
        let workspace = try Workspace()
        // The second rank works in a directory with a text of its own.
        let text = try String(decoding: workspace.data("recipe.yaml"), as: UTF8.self)
            .replacing(/train: \/.*/, with: "train: text.txt")
        try FileManager.default.createDirectory(
            atPath: workspace.file("other"), withIntermediateDirectories: true)
        for (directory, words) in [(".", "fox and hen run\n"), ("other", "hen and fox run\n")] {
            try workspace.write("\(directory)/recipe.yaml", text)
            try workspace.write(
                "\(directory)/text.txt", String(repeating: words, count: 200))
        }
        for (directory, settings, differing) in [
            (".", ["schedule.learning_rate=0.02"], "recipe"), ("other", [], "data"),
        ] {
            let first = Workspace.training("run", [], ["--data-parallel", "2"])
            let second = Workspace.training(
                workspace.file("run"), settings, ["--data-parallel", "2"])
            let outcome = try ForjaProcess(
                first + [":", "-n", "1", "sh", "-c", "cd $0 && exec \"$@\"", directory]
                    + [ForjaProcess.binary] + second,
                in: workspace, environment: MPILauncher.environment,
                launcher: launcher.command(1)
            ).wait()
            #expect(outcome.status != 0, "\(outcome)")
            #expect(outcome.errors.contains("the ranks' \(differing) differ"), "\(outcome)")
            #expect(workspace.stepMetrics("run").isEmpty)
        }
    }

    @Test("a rank that hangs is named with its host, and all end", arguments: MPILauncher.installed)
    func hangingRank(launcher: MPILauncher) throws {
        let workspace = try Workspace()
        let outcome = try start(
            "run", ["parallel.timeout_seconds=2"], under: launcher, in: workspace,
            environment: ["FORJA_TEST_FAULT": "hang:1:6"]
        ).wait()
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("rank 0 on "), "\(outcome)")
        #expect(outcome.errors.contains("step 6"), "\(outcome)")
        // The laggard cannot speak: its heartbeat says how far it came.
        #expect(
            outcome.errors.contains(/rank 1 on .+, step 6, collective \d+: not at/), "\(outcome)")
        #expect(outcome.errors.contains("--resume"), "\(outcome)")
        #expect(try ranks(of: workspace).isEmpty)
    }

    @Test("a rank that fails says why, and all end", arguments: MPILauncher.installed)
    func failingRank(launcher: MPILauncher) throws {
        let workspace = try Workspace()
        let outcome = try start(
            "run", under: launcher, in: workspace, environment: ["FORJA_TEST_FAULT": "fail:1:7"]
        ).wait()
        #expect(outcome.status != 0)
        #expect(outcome.errors.contains("rank 1 on "), "\(outcome)")
        #expect(outcome.errors.contains("step 7"), "\(outcome)")
        #expect(outcome.errors.contains("failed on purpose"), "\(outcome)")
        #expect(try ranks(of: workspace).isEmpty)
    }

    @Test("SIGTERM to one rank saves the step on all", arguments: MPILauncher.installed)
    func interruption(launcher: MPILauncher) throws {
        let workspace = try Workspace()
        let settings = ["training.max_steps=4000", "checkpoint.every_steps=4000"]
        let process = try start("run", settings, under: launcher, in: workspace)
        try process.wait { workspace.lastStep("run") >= 20 }
        let rank = try #require(ranks(of: workspace).last)
        kill(rank, SIGTERM)
        let stopped = try process.wait()
        #expect(stopped.status == 130, "\(stopped)")
        #expect(stopped.errors.contains("SIGTERM: step "), "\(stopped)")
        let step = workspace.lastStep("run")
        for name in Self.shards {
            #expect(workspace.has("run/checkpoints/step-\(step)/\(name)"))
        }
    }

    /// FORJA_MPI_KILLS kills for each launcher; FORJA_SOAK_SEED draws other moments.
    @Test(
        "a run of which a rank was killed resumes to the bits of one left alone",
        arguments: MPILauncher.installed)
    func killedRank(launcher: MPILauncher) throws {
        let environment = ProcessInfo.processInfo.environment
        let kills = environment["FORJA_MPI_KILLS"].flatMap(Int.init) ?? 3
        var generator = SeededGenerator(
            seed: environment["FORJA_SOAK_SEED"].flatMap(UInt64.init) ?? 1)
        let workspace = try Workspace()
        let steps = 400
        let settings = ["training.max_steps=\(steps)", "checkpoint.every_steps=20"]
        let straight = try start("straight", settings, under: launcher, in: workspace).wait()
        #expect(straight.status == 0, "\(straight)")
        var done: [String] = []
        for number in 1...kills {
            let run = "run-\(number)"
            let rank = Int.random(in: 0..<2, using: &generator)
            let step = Int.random(in: 0..<steps, using: &generator)
            let process = try start(run, settings, under: launcher, in: workspace)
            process.waitOrEnd {
                workspace.lastStep(run) >= step && (try? ranks(of: workspace).count) == 2
            }
            let own = try ranks(of: workspace)
            // A run that is already over cannot be killed; its bits still have to be right.
            let isKilled = own.indices.contains(rank) && kill(own[rank], SIGKILL) == 0
            done.append(isKilled ? "rank \(rank) at \(workspace.lastStep(run))" : "none")
            let killed = try process.wait()
            #expect(!isKilled || killed.status != 0, "\(killed)")
            // The launcher ends the other one.
            let end = Date(timeIntervalSinceNow: 10)
            while try !ranks(of: workspace).isEmpty, Date() < end { usleep(10_000) }
            #expect(try ranks(of: workspace).isEmpty, "orphans of \(run)")
            let resumed = try start(run, settings, ["--resume"], under: launcher, in: workspace)
                .wait()
            #expect(resumed.status == 0, "\(resumed)")
            try expectSameBits("straight", run, steps: steps, in: workspace)
            try FileManager.default.removeItem(atPath: workspace.file(run))
        }
        print("killed under \(launcher.rawValue): \(done)")
    }

    /// Processes of `forja` that work in a workspace, by rank.
    private func ranks(of workspace: Workspace) throws -> [Int32] {
        let manager = FileManager.default
        var found: [(rank: Int, process: Int32)] = []
        for process in try manager.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init) {
            let directory = "/proc/\(process)"
            guard
                let place = try? manager.destinationOfSymbolicLink(atPath: "\(directory)/cwd"),
                place == URL(fileURLWithPath: workspace.path).resolvingSymlinksInPath().path,
                let program = try? manager.destinationOfSymbolicLink(atPath: "\(directory)/exe"),
                program.hasSuffix("/forja"),
                let variables = manager.contents(atPath: "\(directory)/environ")
            else { continue }
            let rank = variables.split(separator: 0).lazy
                .map { String(decoding: $0, as: UTF8.self) }
                .first { $0.hasPrefix("OMPI_COMM_WORLD_RANK=") || $0.hasPrefix("PMI_RANK=") }?
                .split(separator: "=").last.flatMap { Int($0) }
            if let rank { found.append((rank, process)) }
        }
        return found.sorted { $0.rank < $1.rank }.map(\.process)
    }
}
