import ForjaCore
import ForjaRuntime
import Testing

@Suite("Device selection")
struct DeviceSelectionTests {
    /// A description of this kind; no such device need exist.
    private func described(_ kind: Device.Kind) throws -> Device.Description {
        var description = try Device.host().description
        description.kind = kind
        return description
    }

    /// What `auto` takes where the devices in `broken` cannot be opened; the host stands for every device.
    private func automatic(
        _ kinds: [Device.Kind], broken: Set<Int> = []
    ) throws -> (opened: String, note: String?) {
        var opened = ""
        let note = try DeviceSelection.automatic(
            among: kinds.map(described),
            openCL: { index throws(ForjaError) in
                guard !broken.contains(index) else {
                    throw ForjaError(.device, "driver \(index) says no")
                }
                opened = "opencl:\(index)"
                return try Device.host()
            },
            host: { () throws(ForjaError) in
                opened = "cpu"
                return try Device.host()
            }
        ).note
        return (opened, note)
    }

    @Test("auto takes the first GPU, without a word")
    func firstGPU() throws {
        let choice = try automatic([.openCLCPU, .openCLGPU, .openCLGPU])
        #expect(choice.opened == "opencl:1")
        #expect(choice.note == nil)
    }

    @Test("auto passes over a GPU that cannot be opened and says why")
    func brokenGPUs() throws {
        let second = try automatic([.openCLGPU, .openCLGPU], broken: [0])
        #expect(second.opened == "opencl:1")
        #expect(second.note == "opencl:0 cannot be opened: driver 0 says no")
        let none = try automatic([.openCLGPU, .openCLCPU], broken: [0])
        #expect(none.opened == "cpu")
        #expect(
            none.note
                == "opencl:0 cannot be opened: driver 0 says no; the CPU takes over")
    }

    @Test("auto without a GPU takes the CPU and says that there is none")
    func noGPU() throws {
        let choice = try automatic([.openCLCPU])
        #expect(choice.opened == "cpu")
        #expect(choice.note == "no OpenCL GPU; the CPU takes over")
    }
}
