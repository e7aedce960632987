import ArgumentParser
import ForjaCore
import ForjaRuntime

struct DevicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices",
        abstract: "Lists the OpenCL devices and the host CPU.",
        discussion: "The number before an OpenCL device is what --device opencl:N takes.")

    @Flag(help: "Print one JSON document.")
    var json = false

    private struct Row: Encodable {
        let name: String
        let platform: String
        let kind: String
        let memoryBytes: Int
        let capabilities: [String]
        /// What `--device` takes.
        let selector: String
        let driver: String
        let computeUnits: Int

        enum CodingKeys: String, CodingKey {
            case name, platform, kind, capabilities, selector, driver
            case memoryBytes = "memory_bytes"
            case computeUnits = "compute_units"
        }

        init(_ description: Device.Description, selector: String) {
            name = description.name
            platform = description.platform
            kind = description.kind.rawValue
            memoryBytes = description.memoryBytes
            capabilities = description.capabilities
            self.selector = selector
            driver = description.driver
            computeUnits = description.computeUnits
        }
    }

    func run() throws {
        var rows: [Row] = []
        for (index, listed) in Device.openCLDevices().enumerated() {
            // Capabilities are known only from an open device; one that cannot be opened is still listed.
            let description: Device.Description
            do throws(ForjaError) {
                description = try Device.openCL(index).description
            } catch {
                Console.note("opencl:\(index) cannot be opened: \(error.message)")
                description = listed
            }
            rows.append(Row(description, selector: "opencl:\(index)"))
        }
        rows.append(Row(try Device.host().description, selector: "cpu"))
        if json {
            try Console.json(["devices": rows])
            return
        }
        for row in rows {
            Console.result(
                "\(row.selector)  \(row.name)  [\(row.platform)] \(row.kind), "
                    + "\(row.computeUnits) compute units, "
                    + "\(row.memoryBytes / 1_048_576) MiB"
                    + (row.capabilities.isEmpty
                        ? "" : ", " + row.capabilities.joined(separator: " ")))
        }
        if rows.count == 1 { Console.note("opencl: \(Device.openCLStatus)") }
    }
}
