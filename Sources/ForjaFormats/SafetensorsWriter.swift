import ForjaCore
import Foundation

/// Writes a safetensors file tensor by tensor, holding none of them.
///
/// The bytes are those the Python library writes for the same tensors: widest type first, then by
/// name, no time stamps. Equal tensors give equal files.
public enum SafetensorsWriter {
    /// Writes a whole file; it appears at `path` when everything is in it.
    ///
    ///     try SafetensorsWriter.write(tensors, to: path) { tensor, emit throws(ForjaError) in
    ///         try emit(bytes(of: tensor.name))
    ///     }
    ///
    /// - Parameters:
    ///   - tensors: All tensors, in any order; names must differ.
    ///   - path: The final name.
    ///   - metadata: Free text of the header; `format: pt` is what transformers looks for.
    ///   - source: Called once a tensor, in the file's order; hands `emit` its bytes, row-major
    ///     little-endian, in as many pieces as it likes.
    /// - Returns: SHA-256 of each tensor's bytes, by name.
    /// - Throws: `.inputOutput` naming bytes needed and free; `.invalidInput` when names repeat or
    ///   `source` gives another number of bytes than the shape takes; what `source` throws.
    @discardableResult
    public static func write(
        _ tensors: [SafetensorsTensor], to path: String,
        metadata: [String: String] = ["format": "pt"],
        source: (
            _ tensor: SafetensorsTensor,
            _ emit: (UnsafeRawBufferPointer) throws(ForjaError) -> Void
        ) throws(ForjaError) -> Void
    ) throws(ForjaError) -> [String: SHA256Digest] {
        let ordered = order(tensors)
        let (header, byteCount) = try header(of: ordered, metadata: metadata, path: path)
        let file = try AtomicFile(at: path, expectedByteCount: header.count + byteCount)
        try file.write(header)
        var digests: [String: SHA256Digest] = [:]
        for tensor in ordered {
            let start = file.byteCount
            var stream = SHA256Stream()
            try source(tensor) { (bytes) throws(ForjaError) in
                stream.update(bytes)
                try file.write(bytes)
            }
            guard file.byteCount - start == tensor.byteCount else {
                throw ForjaError(
                    .invalidInput,
                    "tensor \(tensor.name) \(tensor.shape) of \(tensor.dtype.rawValue) takes "
                        + "\(tensor.byteCount ?? 0) bytes but was given \(file.byteCount - start)")
            }
            digests[tensor.name] = stream.digest
        }
        try file.commit()
        return digests
    }

    /// Tensors in a file's order.
    public static func order(_ tensors: [SafetensorsTensor]) -> [SafetensorsTensor] {
        tensors.sorted { left, right in
            left.dtype == right.dtype
                ? left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
                : left.dtype > right.dtype
        }
    }

    /// Length and JSON, padded with blanks so that the tensors start at a multiple of 8.
    private static func header(
        of ordered: [SafetensorsTensor], metadata: [String: String], path: String
    ) throws(ForjaError) -> (bytes: [UInt8], tensorByteCount: Int) {
        var members: [String] = []
        if !metadata.isEmpty {
            let strings = metadata.sorted { $0.key < $1.key }
                .map { "\(jsonQuoted($0.key)):\(jsonQuoted($0.value))" }
            members.append(
                "\(jsonQuoted(SafetensorsHeader.metadataKey)):{\(strings.joined(separator: ","))}")
        }
        var position = 0
        var names: Set<String> = []
        for tensor in ordered {
            guard let byteCount = tensor.byteCount, tensor.name != SafetensorsHeader.metadataKey
            else {
                throw ForjaError(
                    .invalidInput,
                    "tensor \(tensor.name) \(tensor.shape) cannot be stored in \(path)")
            }
            guard names.insert(tensor.name).inserted else {
                throw ForjaError(.invalidInput, "tensor \(tensor.name) is given twice for \(path)")
            }
            let shape = tensor.shape.dimensions.map(String.init).joined(separator: ",")
            members.append(
                "\(jsonQuoted(tensor.name)):{\"dtype\":\"\(tensor.dtype.rawValue)\","
                    + "\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(position),\(position + byteCount)]}")
            position += byteCount
        }
        var json = Array("{\(members.joined(separator: ","))}".utf8)
        json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
        let length = UInt64(json.count).littleEndian
        return (withUnsafeBytes(of: length, Array.init) + json, position)
    }
}
