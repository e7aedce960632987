import ForjaCore

/// A safetensors file, memory-mapped; every defect of its header is refused before a tensor is
/// looked at.
public struct SafetensorsFile: Sendable {
    public let path: String
    /// The tensors in the order of their bytes.
    public let tensors: [SafetensorsTensor]
    /// Free text of the header, such as `["format": "pt"]`.
    public let metadata: [String: String]

    private let file: MappedFile
    private let byteRanges: [Range<Int>]
    private let places: [String: Int]

    /// - Throws: `.inputOutput` when the file cannot be read; `.damagedFile` naming file and
    ///   tensor.
    public init(contentsOf path: String) throws(ForjaError) {
        let file = try MappedFile(path: path)
        let header = try file.withUnsafeBytes { (bytes) throws(ForjaError) in
            try SafetensorsHeader(path: path, bytes: bytes)
        }
        self.path = path
        self.file = file
        tensors = header.tensors
        byteRanges = header.byteRanges
        metadata = header.metadata
        places = Dictionary(
            uniqueKeysWithValues: header.tensors.enumerated().map { ($1.name, $0) })
    }

    public func contains(_ name: String) -> Bool { places[name] != nil }

    /// - Throws: `.damagedFile` when the file has no tensor of that name.
    public func tensor(named name: String) throws(ForjaError) -> SafetensorsTensor {
        tensors[try place(of: name)]
    }

    /// Where a tensor's bytes lie, counted from the start of the file.
    ///
    /// - Throws: `.damagedFile` when the file has no tensor of that name.
    public func byteRange(of name: String) throws(ForjaError) -> Range<Int> {
        byteRanges[try place(of: name)]
    }

    /// Hands `body` a tensor's bytes: row-major, little-endian, aligned to nothing in particular.
    ///
    /// - Throws: `.damagedFile` when the file has no tensor of that name; what `body` throws.
    public func withUnsafeBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws(ForjaError) -> Result
    ) throws(ForjaError) -> Result {
        let range = try byteRange(of: name)
        return try file.withUnsafeBytes { (bytes) throws(ForjaError) in
            try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }

    /// SHA-256 of a tensor's bytes.
    ///
    /// - Throws: `.damagedFile` when the file has no tensor of that name.
    public func digest(of name: String) throws(ForjaError) -> SHA256Digest {
        try withUnsafeBytes(of: name) { SHA256Digest(of: $0) }
    }

    private func place(of name: String) throws(ForjaError) -> Int {
        guard let place = places[name] else {
            throw ForjaError(
                .damagedFile, "\(path) has no tensor \(name)",
                fix: "check that config.json and the weights belong to one model")
        }
        return place
    }
}
