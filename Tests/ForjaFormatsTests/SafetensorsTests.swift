import ForjaCore
import ForjaFormats
import Foundation
import Testing

/// Made by Tests/Fixtures/safetensors/make.py.
private let fixtures =
    (#filePath as NSString).deletingLastPathComponent
    + "/../Fixtures/safetensors/"

@Suite("Safetensors")
struct SafetensorsTests {
    private struct Expected: Decodable {
        let shape: [Int]
        let sha256: String
    }

    @Test("reads every tensor of a file by the Python library")
    func readsPythonFile() throws {
        let file = try SafetensorsFile(contentsOf: fixtures + "mixed.safetensors")
        let expected = try JSONDecoder().decode(
            [String: Expected].self,
            from: Data(contentsOf: URL(fileURLWithPath: fixtures + "mixed.json")))
        #expect(Set(file.tensors.map(\.name)) == Set(expected.keys))
        #expect(file.metadata == ["format": "pt"])
        for (name, tensor) in expected {
            #expect(try file.tensor(named: name).shape.dimensions == tensor.shape)
            #expect(try file.digest(of: name).description == tensor.sha256)
        }
        let weights = try file.withUnsafeBytes(of: "weight") { bytes in
            (0..<6).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        #expect(weights == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
        #expect(try file.tensor(named: "a.bfloat16").dtype.engineDType == .bfloat16)
        #expect(try file.tensor(named: "wide").dtype.engineDType == nil)
        let error = #expect(throws: ForjaError.self) { try file.tensor(named: "none") }
        #expect(error?.message.contains("no tensor none") == true)
    }

    @Test("writes the bytes that the Python library writes")
    func writesPythonBytes() throws {
        let directory = try ScratchDirectory()
        let source = try SafetensorsFile(contentsOf: fixtures + "mixed.safetensors")
        let digests = try SafetensorsWriter.write(
            source.tensors.reversed(), to: directory["copy"]
        ) { (tensor, emit) throws(ForjaError) in
            try source.withUnsafeBytes(of: tensor.name) { (bytes) throws(ForjaError) in
                // In two pieces, as a source that streams would.
                try emit(UnsafeRawBufferPointer(rebasing: bytes.prefix(bytes.count / 2)))
                try emit(UnsafeRawBufferPointer(rebasing: bytes.dropFirst(bytes.count / 2)))
            }
        }
        let copy = try Data(contentsOf: URL(fileURLWithPath: directory["copy"]))
        #expect(try copy == Data(contentsOf: URL(fileURLWithPath: source.path)))
        for tensor in source.tensors {
            #expect(try digests[tensor.name] == source.digest(of: tensor.name))
        }
    }

    @Test("a source of the wrong size is refused and leaves no file")
    func refusesWrongSize() throws {
        let directory = try ScratchDirectory()
        let tensor = SafetensorsTensor(name: "w", dtype: .float32, shape: [2])
        let error = #expect(throws: ForjaError.self) {
            try SafetensorsWriter.write([tensor], to: directory["a"]) {
                (_, emit) throws(ForjaError) in
                let bytes = [UInt8](repeating: 0, count: 7)
                try bytes.span.withUnsafeBytes { (raw) throws(ForjaError) in try emit(raw) }
            }
        }
        #expect(error?.message.contains("takes 8 bytes but was given 7") == true)
        #expect(throws: ForjaError.self) {
            try SafetensorsWriter.write([tensor, tensor], to: directory["a"]) { _, _ in }
        }
        #expect(try directory.names.isEmpty)
    }

    /// Header text, tensor bytes and what the refusal must say.
    static let damages: [(header: String, bytes: Int, says: String)] = [
        ("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "not a JSON object"),
        ("[]", 0, "not a JSON object"),
        (entry("w", "F32", "2", 0, 8), 4, "tensor w ends at byte 8 of 4"),
        (entry("w", "F32", "2", 0, 8), 9, "1 bytes after the last tensor"),
        (entry("w", "F32", "3", 0, 8), 8, "takes 12"),
        (entry("w", "F4", "2", 0, 8), 8, "unsupported dtype F4"),
        (entry("w", "F32", "-2", 0, 8), 8, "impossible shape"),
        (entry("w", "F32", "4611686018427387904,4", 0, 8), 8, "impossible shape"),
        (entry("w", "F32", "99999999999999999999", 0, 8), 8, "tensor w lacks"),
        (entry("w", "F32", "2.5", 0, 8), 8, "tensor w lacks"),
        (entry("w", "F32", "2", 8, 0), 8, "data_offsets [8, 0]"),
        (entry("w", "F32", "2", -8, 0), 8, "data_offsets [-8, 0]"),
        ("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "data_offsets [0]"),
        ("{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor w lacks"),
        ("{\"w\":7}", 8, "tensor w lacks"),
        ("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ is not a map of strings"),
        (
            entry("a", "F32", "2", 0, 8, and: entry("b", "F32", "2", 4, 12)), 12,
            "b overlaps tensor a"
        ),
        (entry("a", "F32", "2", 0, 8, and: entry("b", "F32", "2", 12, 20)), 20, "before tensor b"),
        (entry("a", "F32", "2", 0, 8, and: entry("a", "F32", "2", 8, 16)), 16, "a is listed twice"),
    ]

    private static func entry(
        _ name: String, _ dtype: String, _ shape: String, _ begin: Int, _ end: Int,
        and other: String? = nil
    ) -> String {
        let own =
            "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":[\(shape)],"
            + "\"data_offsets\":[\(begin),\(end)]}"
        return "{\(own)\(other.map { ",\($0.dropFirst().dropLast())" } ?? "")}"
    }

    @Test("every defect of a header names file and tensor", arguments: damages)
    func refusesDamage(damage: (header: String, bytes: Int, says: String)) throws {
        let directory = try ScratchDirectory()
        let json = Array(damage.header.utf8)
        let length = withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init)
        try AtomicFile.write(
            length + json + [UInt8](repeating: 0, count: damage.bytes), to: directory["bad"])
        let error = #expect(throws: ForjaError.self) {
            try SafetensorsFile(contentsOf: directory["bad"])
        }
        #expect(error?.code == .damagedFile)
        #expect(error?.message.contains(directory["bad"]) == true)
        #expect(error?.message.contains(damage.says) == true, "\(error?.message ?? "")")
    }

    @Test("cut-off files and huge headers are refused", arguments: [0, 7, 8, 20, 300, 731])
    func refusesCutFile(size: Int) throws {
        let directory = try ScratchDirectory()
        let whole = try Data(contentsOf: URL(fileURLWithPath: fixtures + "mixed.safetensors"))
        try AtomicFile.write(Array(whole.prefix(size)), to: directory["cut"])
        let error = #expect(throws: ForjaError.self) {
            try SafetensorsFile(contentsOf: directory["cut"])
        }
        #expect(error?.code == .damagedFile)
        try AtomicFile.write([UInt8](repeating: 0xFF, count: 64), to: directory["huge"])
        let huge = #expect(throws: ForjaError.self) {
            try SafetensorsFile(contentsOf: directory["huge"])
        }
        #expect(huge?.message.contains("at most 100000000") == true)
    }

    @Test("reads the shards of an index and names a missing or swapped one")
    func readsShards() throws {
        let sharded = try SafetensorsDirectory(fixtures + "sharded")
        #expect(sharded.files.count == 3)
        for layer in 0..<5 {
            let name = "layers.\(layer).weight"
            #expect(try sharded.tensor(named: name).shape == [4, 4])
            let last = try sharded.withUnsafeBytes(of: name) { bytes in
                bytes.loadUnaligned(fromByteOffset: 60, as: Float.self)
            }
            #expect(last == Float(layer))
        }

        let directory = try ScratchDirectory()
        let copy = directory["model"]
        try FileManager.default.copyItem(atPath: fixtures + "sharded", toPath: copy)
        let second = copy + "/model-00002-of-00003.safetensors"
        try FileManager.default.removeItem(atPath: second)
        let missing = #expect(throws: ForjaError.self) { try SafetensorsDirectory(copy) }
        #expect(missing?.message.contains("model-00002-of-00003.safetensors") == true)
        try FileManager.default.copyItem(
            atPath: copy + "/model-00001-of-00003.safetensors", toPath: second)
        let swapped = #expect(throws: ForjaError.self) { try SafetensorsDirectory(copy) }
        #expect(swapped?.message.contains("layers.0.weight") == true)

        let neither = #expect(throws: ForjaError.self) {
            try SafetensorsDirectory(directory.path)
        }
        #expect(neither?.message.contains("neither model.safetensors nor") == true)
    }
}
