import ForjaCore
import ForjaFormats
import Foundation
import Testing

@Suite("TensorBoard events")
struct TensorBoardTests {
    @Test("CRC-32C gives the published check values")
    func crc() {
        // The check value of the catalogue, then RFC 3720, B.4.
        #expect(TensorBoardRecord.crc32c(Array("123456789".utf8)) == 0xE306_9283)
        #expect(TensorBoardRecord.crc32c([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(TensorBoardRecord.crc32c([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(TensorBoardRecord.crc32c(Array(0..<32)) == 0x46DD_794E)
        #expect(TensorBoardRecord.maskedCRC(Array("123456789".utf8)) == 0xC78A_B0E5)
    }

    @Test("records have the bytes that TensorBoard's own writer gives")
    func matchesTensorBoard() {
        // tensorboard 2.21.0: RecordWriter.write(Event(wall_time=1700000000.25, step=300,
        // summary=Summary(value=[Value(tag="train/loss", simple_value=2.5), Value(tag="r",
        // simple_value=-inf)])).SerializeToString()), then file_version="brain.Event:2".
        let event = TensorBoardEvent.scalars(
            [("train/loss", 2.5), ("r", -.infinity)], step: 300, wallTime: 1_700_000_000.25)
        #expect(
            hexadecimal(TensorBoardRecord.frame(event))
                == "2b00000000000000861bc34b0900001040fc54d94110ac022a1d0a110a0a747261696e2f6c6f7373"
                + "15000020400a080a017215000080ffb87254a2")
        #expect(TensorBoardEvent.step(of: event[...]) == 300)
        let version = TensorBoardEvent.fileVersion(wallTime: 1_700_000_000.25)
        #expect(
            hexadecimal(TensorBoardRecord.frame(version))
                == "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9"
        )
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { String(format: "%02x", $0) }.joined()
    }

    private func steps(in path: String) throws -> [Int?] {
        let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        return TensorBoardRecord.records(in: bytes).map(TensorBoardEvent.step(of:))
    }

    @Test("a resumed run continues in a later file, without the steps after its checkpoint")
    func resumes() throws {
        let directory = try ScratchDirectory()
        let first = try TensorBoardWriter(directory: directory.path)
        for step in 1...5 { try first.write(step: step, scalars: [("loss", Float(step))]) }
        // Every event is in the file without closing it.
        #expect(try steps(in: first.path) == [0, 1, 2, 3, 4, 5])
        let handle = try #require(FileHandle(forWritingAtPath: first.path))
        handle.seekToEndOfFile()
        handle.write(Data([1, 2, 3]))
        try handle.close()

        let second = try TensorBoardWriter(directory: directory.path, resumingAfterStep: 3)
        try second.write(step: 4, scalars: [("loss", 9)])
        #expect(try steps(in: first.path) == [0, 1, 2, 3])
        #expect(try steps(in: second.path) == [0, 4])
        #expect(try directory.names.map { directory[$0] } == [first.path, second.path])
    }

    @Test("a damaged record ends a file")
    func stopsAtDamage() {
        let whole = TensorBoardRecord.frame([1, 2, 3]) + TensorBoardRecord.frame([4])
        #expect(TensorBoardRecord.records(in: whole).map(Array.init) == [[1, 2, 3], [4]])
        for place in 19..<whole.count {
            var damaged = whole
            damaged[place] ^= 0x10
            #expect(TensorBoardRecord.records(in: damaged).map(Array.init) == [[1, 2, 3]])
            let cut = Array(whole.prefix(place))
            #expect(TensorBoardRecord.records(in: cut).map(Array.init) == [[1, 2, 3]])
        }
    }

    @Test("a missing directory is refused by name")
    func refusesMissingDirectory() throws {
        let directory = try ScratchDirectory()
        let error = #expect(throws: ForjaError.self) {
            try TensorBoardWriter(directory: directory["none"])
        }
        #expect(error?.message.contains("none") == true)
    }
}
