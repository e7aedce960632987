import ForjaCore
import ForjaFormats
import Foundation

extension ModelDirectory {
    /// Files that say how text becomes tokens, copied as they are.
    private static let tokenizerFiles = [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    ]

    /// Writes the model alone as one Hugging Face directory with one weights file: no optimizer state, no shards.
    ///
    /// Weights pass through one tensor at a time, float32 to the type asked for by rounding to nearest.
    ///
    /// - Parameters:
    ///   - path: The directory, which appears when everything is in it; it must not be there.
    ///   - dtype: Type of the stored weights; `nil` keeps that of config.json, else float32.
    /// - Returns: Bytes of the weights.
    /// - Throws: `.damagedFile` naming file and tensor when the source is not whole; `.invalidInput` when `path` is there or
    ///   a weight does not fit the type; `.inputOutput` naming bytes needed and free.
    @discardableResult
    public func export(to path: String, dtype: DType? = nil) throws(ForjaError) -> Int {
        guard access(path, F_OK) != 0 else {
            throw ForjaError(
                .invalidInput, "\(path) is there already", fix: "name a new directory")
        }
        let dtype = dtype ?? huggingFace.dtype ?? .float32
        let source = try safetensors()
        let map = LlamaCheckpointMap(
            LlamaModel(configuration, computeType: .float32, positions: 1, isTrained: false))
        try map.check(source)
        let tensors = map.pieces.map {
            SafetensorsTensor(name: $0.name, dtype: SafetensorsDType(dtype), shape: $0.shape)
        }
        let byteCount = tensors.reduce(0) { $0 + ($1.byteCount ?? 0) }
        let directory = try AtomicDirectory(at: path, expectedByteCount: byteCount)
        var config = huggingFace
        config.dtype = dtype
        try config.write(into: directory.temporaryPath)
        for name in Self.tokenizerFiles {
            let file = (self.path as NSString).appendingPathComponent(name)
            guard access(file, F_OK) == 0 else { continue }
            let bytes = try MappedFile(path: file).withUnsafeBytes { Data($0) }
            try AtomicFile.write(
                String(decoding: bytes, as: UTF8.self), to: directory.path(of: name))
        }
        try SafetensorsWriter.write(
            tensors, to: directory.path(of: SafetensorsDirectory.fileName)
        ) { tensor, emit throws(ForjaError) in
            let stored = try source.tensor(named: tensor.name).dtype
            try source.withUnsafeBytes(of: tensor.name) { bytes throws(ForjaError) in
                guard stored != tensor.dtype else { return try emit(bytes) }
                // At most 16 MB at a time.
                let chunk = 4_194_304 * stored.byteCount
                for start in stride(from: 0, to: bytes.count, by: chunk) {
                    let part = UnsafeRawBufferPointer(
                        rebasing: bytes[start..<min(start + chunk, bytes.count)])
                    try handOn(widened(part, dtype: stored), as: dtype, of: tensor.name, to: emit)
                }
            }
        }
        try directory.commit()
        return byteCount
    }

    /// Hands on float32 numbers in another type.
    private func handOn(
        _ values: [Float], as dtype: DType, of name: String,
        to emit: (UnsafeRawBufferPointer) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        func emitBytes<Element>(of elements: [Element]) throws(ForjaError) {
            try elements.withUnsafeBufferPointer { buffer throws(ForjaError) in
                try emit(UnsafeRawBufferPointer(buffer))
            }
        }
        switch dtype {
        case .float32: try emitBytes(of: values)
        case .bfloat16: try emitBytes(of: values.map { bfloat16Bits($0).littleEndian })
        case .float16:
            if let large = values.first(where: { abs($0) >= 65520 && $0.isFinite }) {
                throw ForjaError(
                    .invalidInput, "tensor \(name) has \(large), beyond float16's 65504",
                    fix: "use bf16, which has float32's range")
            }
            try emitBytes(of: values.map { float16Bits($0).littleEndian })
        case .int32: preconditionFailure("weights are floating-point numbers")
        }
    }
}
