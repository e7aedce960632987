import ForjaCore

/// What a recipe's `stage` adds to training: the trainer runs steps, saves and logs; a stage says on what.
///
/// Each rank has one, of its own thread. A step's work, as everything else, is to be a function of (recipe, step) and of the
/// weights, or of what `state` keeps: then a run that was stopped gives the same bits as one that was not. The trainer calls
///
///     prepare · restore if there is a checkpoint · (work · validate if due · state if saved) for every step
///
/// and every call happens on all ranks alike, so that a stage may use the rank's collectives in each.
public protocol TrainingStage: AnyObject {
    /// What the step is recorded for, this rank's part of it.
    var shape: StepShape { get }

    /// Whether `prepare` reads the weights that the run started from, also when it is resumed.
    var readsStartingWeights: Bool { get }

    /// Makes what the stage needs beside the engine: reference log-probabilities, a sampler on the same device.
    ///
    /// Memory for the step is allocated; the model has the weights the run starts from, but on resume without
    /// `readsStartingWeights` any.
    func prepare(_ context: StageContext) throws(ForjaError)

    /// Goes on from what `state` said when the checkpoint was made.
    func restore(_ state: String) throws(ForjaError)

    /// This rank's part of an optimizer step; the model has the weights of the step before.
    ///
    /// - Parameter number: From 1. Called once for each number of a process, in order.
    func work(forStep number: Int) throws(ForjaError) -> StepWork

    /// Where the data of a step came from, for the message when it gave no finite loss; may be empty.
    func places(of work: StepWork) -> String

    /// Figures on held-out data by their names in metrics.jsonl, the same on every rank; empty when nothing is held out.
    /// `validation_loss` is the one that progress lines show.
    func validate() throws(ForjaError) -> [String: Double]

    /// What the stage knows beyond (recipe, step), kept in checkpoints; the first rank's counts, and every rank gets it.
    var state: String? { get throws(ForjaError) }
}

extension TrainingStage {
    public var readsStartingWeights: Bool { false }
    public func prepare(_ context: StageContext) throws(ForjaError) {}
    public func restore(_ state: String) throws(ForjaError) {}
    public func places(of work: StepWork) -> String { "" }
    public func validate() throws(ForjaError) -> [String: Double] { [:] }
    public var state: String? { nil }
}
