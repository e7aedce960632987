import ArgumentParser
import ForjaCore
import ForjaData
import ForjaEvaluation
import ForjaFormats
import ForjaModels
import ForjaParallel
import ForjaPipeline
import ForjaRL
import ForjaTraining
import Foundation

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a pipeline: stages that hand a model on, measured after each.",
        discussion: """
            The pipeline is a YAML file of stages, each a recipe as forja train takes it; a stage starts from the model of the
            one before. After each, the same figures are measured on held-out data: held_out_loss (nats per token of answers),
            preference_accuracy (share of pairs whose chosen answer the model finds likelier per token), pass_at_1 (share of
            questions answered right, greedily) and answer_tokens (mean length of those answers). They are printed as a table at
            the end and kept in report.md and report.json.

            A pipeline that was stopped, or killed, goes on with --resume: finished stages whose recipe and data are unchanged are
            not run again, and the result has the bits of one that was not stopped.

              forja run recipes/tulu-tiny.yaml --run-dir runs/tulu
              forja run recipes/tulu-tiny.yaml --run-dir runs/tulu --resume
              forja run recipes/tulu-tiny.yaml --set seed=2 --set sft.training.max_steps=100
            """)

    @Argument(help: "The pipeline, a YAML file; recipes/ holds ready ones.")
    var pipeline: String

    @Option(
        help: ArgumentHelp(
            "Overrides a key of a stage's recipe, of model or evaluation, or seed; may be given often.",
            valueName: "STAGE.key=value"))
    var set: [String] = []

    @Option(help: "Where the pipeline is kept; runs/NAME-DATE when absent.")
    var runDir: String?

    @Flag(help: "Continues the pipeline in --run-dir.")
    var resume = false

    @Flag(help: "Prints {\"stages\":[{\"name\",\"checkpoint\",\"metrics\"}]} instead of the table.")
    var json = false

    @OptionGroup var compute: ComputeOptions

    func validate() throws {
        if resume, runDir == nil { throw ValidationError("--resume needs --run-dir") }
    }

    func run() throws {
        if Launch(environment: ProcessInfo.processInfo.environment) != nil {
            throw ForjaError(
                .unavailable, "a launcher started this, and a pipeline's ranks are threads",
                fix: "start forja run by itself, with --set STAGE.parallel.data=N, or run each "
                    + "stage by mpirun forja train")
        }
        let file = try PipelineFile(contentsOf: pipeline, overrides: set)
        for stage in file.stages { try Self.check(stage, of: file) }
        // What is measured on is read before anything is trained.
        let measurement = try StageMeasurement(file.evaluation, compute: compute)
        let path = runDir ?? RunDirectory.defaultPath(name: file.name)
        let report = try Pipeline(file, directory: path, isResuming: resume, note: Console.note)
            .run(
                evaluation: measurement.key,
                train: { recipe, directory, isResuming in
                    _ = try RecipeRun(
                        recipe: recipe, path: directory, isResuming: isResuming, compute: compute
                    ).perform()
                }, evaluate: measurement.metrics(ofModelAt:))
        if json { try Console.json(report) } else { Console.result(report.table) }
        Console.note("pipeline in \(path)")
    }

    /// Finds what would stop a stage before the stages ahead of it are trained: keys that do not go together, files that are
    /// not there.
    private static func check(
        _ stage: PipelineFile.Stage, of file: PipelineFile
    ) throws(ForjaError) {
        let recipe = try file.recipe(of: stage, startingFrom: stage.start.map { "/" + $0 })
        do throws(ForjaError) {
            if recipe.stage == .grpo { _ = try GroupRelativeSettings(recipe) }
            for path in recipe.trainFiles + (recipe.validationFiles ?? []) {
                _ = try MappedFile(path: path)
            }
        } catch {
            var error = error
            error.message = "stage \(stage.name): \(error.message)"
            throw error
        }
    }
}
