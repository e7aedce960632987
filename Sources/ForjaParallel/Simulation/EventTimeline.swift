/// A discrete-event simulation of streams that each run their tasks in order.
///
/// A task starts when its stream's task before it and everything it depends on have finished. Streams stand for a
/// device's compute queue, its collectives and its links.
struct EventTimeline {
    struct Task {
        let stream: Int
        let seconds: Double
        var dependencies: [Int]
        var start = 0.0
        var end: Double { start + seconds }
    }

    private(set) var tasks: [Task] = []
    private var queues: [[Int]]

    init(streams: Int) { queues = Array(repeating: [], count: streams) }

    /// Appends a task to its stream; dependencies may name tasks added later, through `addDependency`.
    mutating func add(stream: Int, seconds: Double, after dependencies: [Int] = []) -> Int {
        tasks.append(Task(stream: stream, seconds: seconds, dependencies: dependencies))
        queues[stream].append(tasks.count - 1)
        return tasks.count - 1
    }

    mutating func addDependency(of task: Int, on other: Int) {
        tasks[task].dependencies.append(other)
    }

    /// Gives every task its start.
    mutating func run() {
        var isDone = [Bool](repeating: false, count: tasks.count)
        var heads = [Int](repeating: 0, count: queues.count)
        var free = [Double](repeating: 0, count: queues.count)
        var progressed = true
        while progressed {
            progressed = false
            for stream in queues.indices {
                while heads[stream] < queues[stream].count {
                    let index = queues[stream][heads[stream]]
                    let dependencies = tasks[index].dependencies
                    guard dependencies.allSatisfy({ isDone[$0] }) else { break }
                    tasks[index].start = dependencies.reduce(free[stream]) {
                        max($0, tasks[$1].end)
                    }
                    free[stream] = tasks[index].end
                    isDone[index] = true
                    heads[stream] += 1
                    progressed = true
                }
            }
        }
        precondition(isDone.allSatisfy { $0 }, "tasks wait for each other in a circle")
    }

    var end: Double { tasks.reduce(0) { max($0, $1.end) } }

    func busySeconds(of stream: Int) -> Double {
        queues[stream].reduce(0) { $0 + tasks[$1].seconds }
    }

    /// Seconds during which both streams run something.
    func overlapSeconds(of first: Int, and second: Int) -> Double {
        let (a, b) = (queues[first], queues[second])
        var (i, j) = (0, 0)
        var sum = 0.0
        while i < a.count, j < b.count {
            let (x, y) = (tasks[a[i]], tasks[b[j]])
            sum += max(0, min(x.end, y.end) - max(x.start, y.start))
            if x.end < y.end { i += 1 } else { j += 1 }
        }
        return sum
    }
}
