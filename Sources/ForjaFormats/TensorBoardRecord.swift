/// TFRecord framing, read and written:
///
///     | length: u64 | masked CRC of length: u32 | data | masked CRC of data: u32 |
///
/// little-endian, CRC-32C. The mask, ((crc >> 15) | (crc << 17)) + 0xa282ead8, keeps the CRC of
/// data that holds CRCs from degenerating.
/// Format: tensorflow/tensorflow:core/lib/io/record_writer.h.
package enum TensorBoardRecord {
    /// Bytes around the data.
    package static let overhead = 16

    package static func frame(_ data: [UInt8]) -> [UInt8] {
        let length = bytes(UInt64(data.count))
        return length + bytes(maskedCRC(length)) + data + bytes(maskedCRC(data))
    }

    /// The data of the records from the start of `file` up to the first that is cut off or fails
    /// its checksum.
    package static func records(in file: [UInt8]) -> [ArraySlice<UInt8>] {
        var result: [ArraySlice<UInt8>] = []
        var position = 0
        while file.count - position >= overhead {
            let header = file[position..<position + 8]
            let length = integer(header, as: UInt64.self)
            guard integer(file[position + 8..<position + 12], as: UInt32.self) == maskedCRC(header),
                length <= UInt64(file.count - position - overhead)
            else { break }
            let start = position + 12
            let end = start + Int(length)
            let data = file[start..<end]
            guard integer(file[end..<end + 4], as: UInt32.self) == maskedCRC(data) else { break }
            result.append(data)
            position = end + 4
        }
        return result
    }

    package static func maskedCRC(_ data: some Sequence<UInt8>) -> UInt32 {
        let crc = crc32c(data)
        return ((crc >> 15) | (crc << 17)) &+ 0xA282_EAD8
    }

    /// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
    package static func crc32c(_ data: some Sequence<UInt8>) -> UInt32 {
        var crc = ~UInt32(0)
        for byte in data { crc = table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
        return ~crc
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in (crc >> 1) ^ (crc & 1 == 0 ? 0 : 0x82F6_3B78) }
    }

    package static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    private static func integer<Integer: FixedWidthInteger>(
        _ bytes: ArraySlice<UInt8>, as type: Integer.Type
    ) -> Integer {
        bytes.reversed().reduce(0) { $0 << 8 | Integer($1) }
    }
}
