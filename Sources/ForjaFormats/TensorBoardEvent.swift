/// The part of TensorFlow's `Event` protocol buffer that scalars need, encoded by hand:
///
///     Event   { double wall_time = 1; int64 step = 2; string file_version = 3;
///               Summary summary = 5 }
///     Summary { repeated Value value = 1 }
///     Value   { string tag = 1; float simple_value = 2 }
///
/// Schema: tensorflow/tensorflow:core/util/event.proto and core/framework/summary.proto.
package enum TensorBoardEvent {
    private enum Wire: UInt64 {
        case varint = 0
        case fixed64 = 1
        case length = 2
        case fixed32 = 5
    }

    /// The record every event file starts with.
    package static func fileVersion(wallTime: Double) -> [UInt8] {
        fixed64(1, wallTime.bitPattern) + length(3, Array("brain.Event:2".utf8))
    }

    package static func scalars(
        _ scalars: [(tag: String, value: Float)], step: Int, wallTime: Double
    ) -> [UInt8] {
        let summary = scalars.flatMap { scalar in
            length(
                1,
                length(1, Array(scalar.tag.utf8)) + key(2, .fixed32)
                    + TensorBoardRecord.bytes(scalar.value.bitPattern))
        }
        return fixed64(1, wallTime.bitPattern) + key(2, .varint)
            + varint(UInt64(bitPattern: Int64(step))) + length(5, summary)
    }

    /// The step of an encoded event; 0 where it has none; `nil` where the bytes are no event.
    package static func step(of event: ArraySlice<UInt8>) -> Int? {
        var rest = event
        var step = 0
        while !rest.isEmpty {
            guard let key = readVarint(&rest), let wire = Wire(rawValue: key & 7)
            else { return nil }
            switch wire {
            case .varint:
                guard let value = readVarint(&rest) else { return nil }
                if key >> 3 == 2 { step = Int(truncatingIfNeeded: value) }
            case .fixed64:
                guard rest.count >= 8 else { return nil }
                rest = rest.dropFirst(8)
            case .fixed32:
                guard rest.count >= 4 else { return nil }
                rest = rest.dropFirst(4)
            case .length:
                guard let size = readVarint(&rest), size <= UInt64(rest.count) else { return nil }
                rest = rest.dropFirst(Int(size))
            }
        }
        return step
    }

    private static func key(_ field: UInt64, _ wire: Wire) -> [UInt8] {
        varint(field << 3 | wire.rawValue)
    }

    private static func fixed64(_ field: UInt64, _ bits: UInt64) -> [UInt8] {
        key(field, .fixed64) + TensorBoardRecord.bytes(bits)
    }

    private static func length(_ field: UInt64, _ data: [UInt8]) -> [UInt8] {
        key(field, .length) + varint(UInt64(data.count)) + data
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var result: [UInt8] = []
        while rest >= 0x80 {
            result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return result + [UInt8(rest)]
    }

    private static func readVarint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = bytes.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
