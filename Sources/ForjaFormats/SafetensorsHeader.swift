import ForjaCore
import Foundation

/// The header of a safetensors file, read and checked; nothing behind it is trusted before.
///
///     0        8                 8 + n
///     | n: u64 | n bytes of JSON | tensor bytes, in order, without holes |
///
/// The JSON object maps each name to `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets
/// counted from 8 + n, and `__metadata__` to a map of strings. Format:
/// https://huggingface.co/docs/safetensors.
struct SafetensorsHeader {
    /// Largest JSON part that the format's own library accepts, in bytes.
    static let sizeLimit = 100_000_000
    static let metadataKey = "__metadata__"

    /// In the order of their bytes.
    private(set) var tensors: [SafetensorsTensor] = []
    /// Bytes of each tensor, counted from the start of the file.
    private(set) var byteRanges: [Range<Int>] = []
    private(set) var metadata: [String: String] = [:]

    private struct Entry: Decodable {
        let dtype: String
        let shape: [Int]
        let dataOffsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case dataOffsets = "data_offsets"
        }
    }

    /// A tensor's entry, or the reason why it is none: one bad tensor is reported by name.
    private enum Member: Decodable {
        case entry(Entry)
        case metadata([String: String])
        case unreadable

        init(from decoder: any Decoder) throws {
            if decoder.codingPath.last?.stringValue == metadataKey {
                self =
                    (try? [String: String](from: decoder)).map(Member.metadata) ?? .unreadable
            } else {
                self = (try? Entry(from: decoder)).map(Member.entry) ?? .unreadable
            }
        }
    }

    init(path: String, bytes: UnsafeRawBufferPointer) throws(ForjaError) {
        let json = try Self.json(path: path, bytes: bytes)
        let members: [String: Member]
        do {
            members = try JSONDecoder().decode([String: Member].self, from: Data(json))
        } catch {
            throw Self.damaged(path, "its header is not a JSON object", cause: "\(error)")
        }
        try Self.checkNames(path: path, json: json, memberCount: members.count)

        let base = 8 + json.count
        var placed: [(tensor: SafetensorsTensor, range: Range<Int>)] = []
        for (name, member) in members {
            switch member {
            case .metadata(let strings): metadata = strings
            case .entry(let entry):
                let tensor = try Self.tensor(path: path, name: name, entry: entry)
                let begin = entry.dataOffsets[0]
                let end = entry.dataOffsets[1]
                guard end <= bytes.count - base else {
                    throw Self.damaged(
                        path,
                        "tensor \(name) ends at byte \(end) of \(bytes.count - base) tensor bytes")
                }
                placed.append((tensor, base + begin..<base + end))
            case .unreadable:
                throw Self.damaged(
                    path,
                    name == Self.metadataKey
                        ? "\(name) is not a map of strings"
                        : "the header entry of tensor \(name) lacks a readable dtype, shape or "
                            + "data_offsets")
            }
        }
        placed.sort {
            ($0.range.lowerBound, $0.range.upperBound, $0.tensor.name)
                < ($1.range.lowerBound, $1.range.upperBound, $1.tensor.name)
        }
        var position = base
        var previous = "the header"
        for (tensor, range) in placed {
            guard range.lowerBound >= position else {
                throw Self.damaged(path, "tensor \(tensor.name) overlaps \(previous)")
            }
            guard range.lowerBound == position else {
                throw Self.damaged(
                    path,
                    "\(range.lowerBound - position) bytes before tensor \(tensor.name) belong to "
                        + "no tensor")
            }
            position = range.upperBound
            previous = "tensor \(tensor.name)"
        }
        guard position == bytes.count else {
            throw Self.damaged(
                path, "\(bytes.count - position) bytes after the last tensor belong to no tensor")
        }
        tensors = placed.map(\.tensor)
        byteRanges = placed.map(\.range)
    }

    private static func json(
        path: String, bytes: UnsafeRawBufferPointer
    ) throws(ForjaError) -> UnsafeRawBufferPointer.SubSequence {
        guard bytes.count >= 8 else {
            throw damaged(path, "it has \(bytes.count) bytes, fewer than the header's length takes")
        }
        let size = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard size <= UInt64(sizeLimit) else {
            throw damaged(path, "its header says \(size) bytes; at most \(sizeLimit) are allowed")
        }
        guard Int(size) <= bytes.count - 8 else {
            throw damaged(
                path, "it is cut off: a header of \(size) bytes in \(bytes.count - 8) bytes")
        }
        return bytes[8..<8 + Int(size)]
    }

    /// Refuses a name that stands twice. The JSON decoder keeps one of the two and says nothing,
    /// so the members are counted again in the text, which is known to be valid JSON by now.
    private static func checkNames(
        path: String, json: UnsafeRawBufferPointer.SubSequence, memberCount: Int
    ) throws(ForjaError) {
        var names: [String] = []
        var depth = 0
        var stringStart: Int?
        var isEscaped = false
        var string = json.startIndex..<json.startIndex
        for (place, byte) in zip(json.indices, json) {
            if let start = stringStart {
                if byte == UInt8(ascii: "\""), !isEscaped {
                    string = start..<place
                    stringStart = nil
                }
                isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): stringStart = place + 1
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ":") where depth == 1:
                names.append(String(decoding: json[string], as: UTF8.self))
            default: break
            }
        }
        guard names.count != memberCount else { return }
        var seen: Set<String> = []
        let twice = names.first { !seen.insert($0).inserted }
        // Without a repeat, two names are spelt with different escapes.
        throw damaged(path, "\(twice.map { "tensor \($0)" } ?? "a tensor") is listed twice")
    }

    private static func tensor(
        path: String, name: String, entry: Entry
    ) throws(ForjaError) -> SafetensorsTensor {
        guard let dtype = SafetensorsDType(rawValue: entry.dtype) else {
            throw damaged(path, "tensor \(name) has the unsupported dtype \(entry.dtype)")
        }
        let offsets = entry.dataOffsets
        guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1] else {
            throw damaged(path, "tensor \(name) has data_offsets \(offsets)")
        }
        let tensor = SafetensorsTensor(name: name, dtype: dtype, shape: Shape(entry.shape))
        guard let byteCount = tensor.byteCount else {
            throw damaged(path, "tensor \(name) has the impossible shape \(tensor.shape)")
        }
        guard byteCount == offsets[1] - offsets[0] else {
            throw damaged(
                path,
                "tensor \(name) has \(offsets[1] - offsets[0]) bytes, but shape \(tensor.shape) of "
                    + "\(dtype.rawValue) takes \(byteCount)")
        }
        return tensor
    }

    private static func damaged(
        _ path: String, _ what: String, cause: String? = nil
    ) -> ForjaError {
        ForjaError(
            .damagedFile, "\(path) is not a sound safetensors file: \(what)",
            fix: "fetch or write the file again", cause: cause)
    }
}
