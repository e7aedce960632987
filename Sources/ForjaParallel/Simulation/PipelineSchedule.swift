/// The order in which one pipeline stage runs forward and backward passes: 1F1B, plain or interleaved.
///
/// A stage first runs enough forward passes to keep the stages behind it busy, then alternates one forward and one
/// backward, then drains. Interleaved, a stage holds several chunks of layers and takes microbatches in groups of as many
/// as there are stages. Narayanan and others, 2021, arXiv:2104.04473.
package struct PipelineSchedule {
    package struct Action: Hashable {
        package let isForward: Bool
        package let microbatch: Int
        /// Of the chunks that this stage holds, from the first.
        package let chunk: Int
    }

    /// By stage.
    package let actions: [[Action]]

    package init(stages: Int, microbatches: Int, virtualStages: Int = 1) {
        let total = microbatches * virtualStages
        actions = (0..<stages).map { stage in
            let warmup =
                virtualStages == 1
                ? stages - stage - 1
                : (stages - stage - 1) * 2 + (virtualStages - 1) * stages
            func action(_ index: Int, isForward: Bool) -> Action {
                guard virtualStages > 1 else {
                    return Action(isForward: isForward, microbatch: index, chunk: 0)
                }
                let round = index / (stages * virtualStages)
                let chunk = index % (stages * virtualStages) / stages
                return Action(
                    isForward: isForward, microbatch: round * stages + index % stages,
                    chunk: isForward ? chunk : virtualStages - 1 - chunk)
            }
            var result: [Action] = []
            var (forward, backward) = (0, 0)
            while backward < total {
                if forward < total, forward - backward <= warmup {
                    result.append(action(forward, isForward: true))
                    forward += 1
                } else {
                    result.append(action(backward, isForward: false))
                    backward += 1
                }
            }
            return result
        }
    }
}
