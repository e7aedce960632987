import ArgumentParser
import ForjaCore
import ForjaTraining
import Foundation

/// The command line: arguments in, exit code out.
@main
struct Forja: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forja",
        abstract: "Trains open language models end to end, on any OpenCL device or the CPU.",
        discussion: """
            Results go to standard output, progress and logs to standard error.
            Exit status: 0 done, 1 failed, 64 wrong usage, 130 interrupted and saved.

              forja train recipes/quickstart.yaml --run-dir runs/first
              forja generate --model runs/first --prompt "ROMEO:"
            """,
        version: BuildInformation.text,
        subcommands: [
            DevicesCommand.self, TrainCommand.self, PlanCommand.self, GenerateCommand.self,
            ScoreCommand.self, TokenizerCommand.self, DataCommand.self, BenchCommand.self,
            RehearseCommand.self,
        ])

    static func main() {
        Interruption.listen()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as ForjaError {
            Console.error(error)
            Foundation.exit(error.code == .interrupted ? 130 : 1)
        } catch {
            exit(withError: error)
        }
    }
}
