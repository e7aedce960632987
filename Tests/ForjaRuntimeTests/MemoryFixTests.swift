import ForjaCore
import ForjaRuntime
import ForjaTestSupport
import Testing

@Suite("Memory remedies")
struct MemoryFixTests {
    /// A graph that copies `byteCount` bytes twice, through as many tensors.
    private func graph(byteCount: Int) -> StepGraph {
        let graph = StepGraph()
        let tensors = (0..<3).map { graph.transient("t\($0)", [byteCount / 4], .float32) }
        graph.recordCast(from: tensors[0], to: tensors[1])
        graph.recordCast(from: tensors[1], to: tensors[2])
        return graph
    }

    @Test("whoever makes the scheduler says what helps when its graphs do not fit")
    func remedies() throws {
        let queue = try TestedDevice.host.queue()
        let memory = queue.device.description.memoryBytes
        // One tensor past the largest allocation, then a plan past the whole memory.
        for byteCount in [1 << 50, memory - memory % 4] {
            let error = #expect(throws: ForjaError.self) {
                let scheduler = Scheduler(queue: queue, memoryFix: "ask for less")
                _ = try scheduler.add(graph(byteCount: byteCount))
                try scheduler.prepare()
            }
            #expect(error?.code == .outOfMemory)
            #expect(error?.fix == "ask for less")
        }
    }
}
