import ForjaCore
import ForjaFormats
import ForjaNN
import ForjaParallel
import ForjaRuntime

/// How Hugging Face's tensors lie in the model's parameters: a fused projection is several of them, one under another.
package struct LlamaCheckpointMap {
    /// One tensor of a checkpoint: rows of a parameter.
    package struct Piece {
        /// `model.layers.0.self_attn.q_proj.weight`
        package let name: String
        package let parameter: Parameter
        /// First element within the parameter.
        package let offset: Int
        /// Which part of the tensor a rank of a tensor group holds.
        package let slice: ParameterSlice
        /// Of the checkpoint's tensor.
        package var shape: Shape { slice.whole }
    }

    package let pieces: [Piece]
    /// Names that may stand in a file and say nothing new.
    private let ignorable: Set<String>

    package init(_ model: LlamaModel) {
        let c = model.configuration
        var pieces: [Piece] = []
        /// Elements of each parameter that pieces before took.
        var taken: [String: Int] = [:]
        func add(_ name: String, _ parameter: Parameter, rows: Int? = nil) {
            let whole = model.slice(of: parameter)
            let slice = rows.map { whole.section([$0, whole.whole.width]) } ?? whole
            let offset = taken[parameter.name, default: 0]
            pieces.append(Piece(name: name, parameter: parameter, offset: offset, slice: slice))
            taken[parameter.name] = offset + slice.shape.elementCount
        }
        add("model.embed_tokens.weight", model.embedding)
        for (index, layer) in model.layers.enumerated() {
            let prefix = "model.layers.\(index)"
            let query = c.heads * c.headWidth
            let keyValue = c.keyValueHeads * c.headWidth
            add("\(prefix).input_layernorm.weight", layer.attentionNorm)
            add("\(prefix).self_attn.q_proj.weight", layer.attentionFused, rows: query)
            add("\(prefix).self_attn.k_proj.weight", layer.attentionFused, rows: keyValue)
            add("\(prefix).self_attn.v_proj.weight", layer.attentionFused, rows: keyValue)
            add("\(prefix).self_attn.o_proj.weight", layer.attentionOutput)
            add("\(prefix).post_attention_layernorm.weight", layer.feedForwardNorm)
            add("\(prefix).mlp.gate_proj.weight", layer.gateUp, rows: c.feedForwardWidth)
            add("\(prefix).mlp.up_proj.weight", layer.gateUp, rows: c.feedForwardWidth)
            add("\(prefix).mlp.down_proj.weight", layer.down)
        }
        add("model.norm.weight", model.finalNorm)
        if !c.tiesEmbeddings { add("lm_head.weight", model.head) }
        self.pieces = pieces
        ignorable = c.tiesEmbeddings ? ["lm_head.weight"] : []
    }

    /// Refuses a file whose tensors are not this model's, naming file and tensor.
    func check(_ directory: SafetensorsDirectory) throws(ForjaError) {
        for piece in pieces {
            let tensor = try directory.tensor(named: piece.name)
            guard tensor.shape == piece.shape else {
                throw ForjaError(
                    .damagedFile,
                    "\(try directory.file(holding: piece.name).path): tensor \(piece.name) is "
                        + "\(tensor.shape), and config.json makes it \(piece.shape)",
                    fix: "check that config.json and the weights belong to one model")
            }
            guard [.float32, .bfloat16, .float16].contains(tensor.dtype) else {
                throw ForjaError(
                    .damagedFile,
                    "\(try directory.file(holding: piece.name).path): tensor \(piece.name) is "
                        + "\(tensor.dtype.rawValue); F32, BF16 and F16 are read",
                    fix: "convert the checkpoint to one of these")
            }
        }
        let known = Set(pieces.map(\.name)).union(ignorable)
        let foreign = directory.tensors.map(\.name)
            .filter { !known.contains($0) && !$0.hasSuffix(".rotary_emb.inv_freq") }
        if let name = foreign.min() {
            throw ForjaError(
                .damagedFile,
                "\(try directory.file(holding: name).path): tensor \(name) has no place in a "
                    + "Llama of \(try layerCount(directory)) layers without biases",
                fix: "use a Llama checkpoint (model_type llama)")
        }
    }

    private func layerCount(_ directory: SafetensorsDirectory) throws(ForjaError) -> Int {
        pieces.count { $0.name.hasSuffix(".q_proj.weight") }
    }
}

extension LlamaModel {
    /// Fills the parameters from a directory of safetensors in Hugging Face layout; a rank of a tensor group reads its
    /// part.
    ///
    /// - Throws: `.damagedFile` naming file and tensor when something is missing, foreign or of another shape.
    public func load(from directory: SafetensorsDirectory, on queue: Queue) throws(ForjaError) {
        let map = LlamaCheckpointMap(self)
        try map.check(directory)
        try allocate(on: queue)
        for piece in map.pieces {
            let dtype = try directory.tensor(named: piece.name).dtype
            try directory.withUnsafeBytes(of: piece.name) { bytes throws(ForjaError) in
                let size = dtype.byteCount
                let values = piece.slice.segments.flatMap {
                    let (first, end) = ($0.whole.lowerBound * size, $0.whole.upperBound * size)
                    return widened(
                        UnsafeRawBufferPointer(rebasing: bytes[first..<end]), dtype: dtype)
                }
                try write(values, to: piece.parameter, at: piece.offset, on: queue)
            }
        }
    }

    /// Writes the float32 masters as `model.safetensors` in Hugging Face layout, whole: every rank of a tensor group
    /// calls it, and the first one writes.
    ///
    /// - Returns: SHA-256 of each tensor's bytes; none on the other ranks.
    @discardableResult
    public func save(
        to path: String, on queue: Queue
    ) throws(ForjaError) -> [String: SHA256Digest] {
        let map = LlamaCheckpointMap(self)
        guard sharding.group.rankCount == 1 else {
            return try saveJoined(map, to: path, on: queue)
        }
        let byName = Dictionary(uniqueKeysWithValues: map.pieces.map { ($0.name, $0) })
        return try SafetensorsWriter.write(
            map.pieces.map {
                SafetensorsTensor(name: $0.name, dtype: .float32, shape: $0.shape)
            }, to: path
        ) { tensor, emit throws(ForjaError) in
            let piece = byName[tensor.name]!
            try piece.parameter.master.forEachChunk(
                from: piece.offset, count: piece.shape.elementCount, on: queue, emit)
        }
    }

    /// Joins the ranks' slices, one tensor at a time.
    private func saveJoined(
        _ map: LlamaCheckpointMap, to path: String, on queue: Queue
    ) throws(ForjaError) -> [String: SHA256Digest] {
        func joined(_ piece: LlamaCheckpointMap.Piece) throws(ForjaError) -> [Float] {
            try sharding.joined(
                piece.slice,
                piece.parameter.master.read(
                    Float.self, count: piece.slice.shape.elementCount, at: piece.offset, on: queue))
        }
        let byName = Dictionary(uniqueKeysWithValues: map.pieces.map { ($0.name, $0) })
        let tensors = map.pieces.map {
            SafetensorsTensor(name: $0.name, dtype: .float32, shape: $0.shape)
        }
        guard sharding.group.rank == 0 else {
            for tensor in SafetensorsWriter.order(tensors) { _ = try joined(byName[tensor.name]!) }
            return [:]
        }
        return try SafetensorsWriter.write(tensors, to: path) { tensor, emit throws(ForjaError) in
            let values = try joined(byName[tensor.name]!)
            try values.withUnsafeBufferPointer { pointer throws(ForjaError) in
                try emit(UnsafeRawBufferPointer(pointer))
            }
        }
    }

    /// Bytes of the weights file without its header.
    public var checkpointByteCount: Int { configuration.parameterCount * 4 }

    private func write(
        _ values: [Float], to parameter: Parameter, at offset: Int, on queue: Queue
    ) throws(ForjaError) {
        if parameter.master.dtype == .float32 {
            try parameter.master.write(values, at: offset, on: queue)
        }
        if parameter.compute.dtype == .bfloat16 {
            try parameter.compute.write(values.map(bfloat16Bits), at: offset, on: queue)
        }
    }
}

extension Variable {
    /// Hands out a float32 variable's bytes in pieces of at most 16 MB.
    package func forEachChunk(
        from start: Int, count: Int, on queue: Queue,
        _ body: (UnsafeRawBufferPointer) throws(ForjaError) -> Void
    ) throws(ForjaError) {
        precondition(dtype == .float32)
        let chunk = 4_194_304
        var done = 0
        while done < count {
            let values = try read(
                Float.self, count: min(chunk, count - done), at: start + done, on: queue)
            try values.withUnsafeBufferPointer { pointer throws(ForjaError) in
                try body(UnsafeRawBufferPointer(pointer))
            }
            done += values.count
        }
    }
}

/// Little-endian F32, BF16 or F16 as float32.
package func widened(_ bytes: UnsafeRawBufferPointer, dtype: SafetensorsDType) -> [Float] {
    let count = bytes.count / dtype.byteCount
    return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
        for index in 0..<count {
            switch dtype {
            case .bfloat16:
                let bits = bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                buffer[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
            case .float16:
                let bits = bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                buffer[index] = float16Value(UInt16(littleEndian: bits))
            default:
                let bits = bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                buffer[index] = Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
        initialized = count
    }
}
