import ForjaCore
import ForjaRuntime
import ForjaTestSupport
import Testing

@Suite("Scheduler", .serialized)
struct SchedulerTests {
    @Test(
        "sums collect over microsteps and start again with the next step",
        arguments: TestedDevice.all)
    func microsteps(device: TestedDevice) throws {
        let queue = try device.queue()
        let x = Variable(name: "x", shape: [5], dtype: .float32)
        let out = Variable(name: "out", shape: [1], dtype: .float32)
        let graph = StepGraph()
        graph.recordSum(
            of: graph.tensor(x), scale: 2, into: graph.tensor(out),
            accumulation: .addAfterFirstMicrostep)
        let scheduler = Scheduler(queue: queue)
        let id = try scheduler.add(graph)
        try scheduler.prepare()
        try x.write([1, 2, 3, 4, 5] as [Float], on: queue)
        for _ in 0..<2 {
            try scheduler.run(id, isFirstMicrostep: true)
            #expect(try out.read(Float.self, on: queue) == [30])
            try scheduler.run(id, isFirstMicrostep: false)
            #expect(try out.read(Float.self, on: queue) == [60])
        }
    }

    @Test("a replayed step allocates nothing on the device", arguments: TestedDevice.all)
    func replayAllocatesNothing(device: TestedDevice) throws {
        let queue = try device.queue()
        let x = Variable(name: "x", shape: [64, 32], dtype: .float32)
        let weight = Variable(name: "weight", shape: [48, 32], dtype: .float32)
        let y = Variable(name: "y", shape: [64, 48], dtype: .float32)
        let graph = StepGraph()
        graph.recordMatmul(
            .nt, a: graph.tensor(x), b: graph.tensor(weight), c: graph.tensor(y))
        let scheduler = Scheduler(queue: queue)
        let id = try scheduler.add(graph)
        try scheduler.prepare()
        try scheduler.run(id)
        try queue.finish()
        let before = queue.device.allocatedBytes
        #expect(before >= scheduler.plannedByteCount)
        for _ in 0..<3 { try scheduler.run(id) }
        try queue.finish()
        #expect(queue.device.allocatedBytes == before)
    }

    @Test("a device index that does not exist is refused with the list")
    func unknownDevice() throws {
        #expect {
            try Device.openCL(99)
        } throws: { error in
            let error = error as? ForjaError
            return error?.message.contains("no OpenCL device 99") ?? false
        }
    }

    @Test("device names are read and wrong ones refused")
    func deviceSelection() throws {
        #expect(try DeviceSelection(parsing: "opencl:2") == .openCLIndex(2))
        #expect(try DeviceSelection(parsing: "auto") == .automatic)
        for wrong in ["gpu", "opencl:", "opencl:-1", ""] {
            #expect(throws: ForjaError.self) { try DeviceSelection(parsing: wrong) }
        }
    }
}
