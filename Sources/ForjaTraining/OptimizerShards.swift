import ForjaCore
import ForjaFormats
import ForjaNN
import ForjaRuntime
import Foundation

/// The optimizer's state on disk: one file a data-parallel rank, holding what that rank updates.
///
///     optimizer.safetensors                    one rank, or without ZeRO-1
///     optimizer-00002-of-00004.safetensors     the second of four
///
/// A tensor that a rank has whole carries the parameter's shape and name, `down.first_moment`; a part of one is flat and
/// its name says which elements of the whole it holds, `down.first_moment[4096:8192]`. So any number of ranks can read
/// what any other number wrote.
struct OptimizerShards {
    static let prefix = "optimizer"

    static func fileName(rank: Int, rankCount: Int) -> String {
        guard rankCount > 1 else { return "\(prefix).safetensors" }
        func padded(_ number: Int) -> String {
            let digits = "\(number)"
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "\(prefix)-\(padded(rank + 1))-of-\(padded(rankCount)).safetensors"
    }

    // MARK: Writing

    /// Writes a rank's state.
    ///
    /// - Returns: SHA-256 by tensor.
    static func write(
        _ states: [AdamWState], to path: String, on queue: Queue
    ) throws(ForjaError) -> [String: SHA256Digest] {
        var variables: [String: Variable] = [:]
        for state in states {
            for moment in [state.firstMoment, state.secondMoment] {
                variables[storedName(moment, state)] = moment
            }
        }
        return try SafetensorsWriter.write(
            variables.map {
                SafetensorsTensor(name: $0.key, dtype: .float32, shape: $0.value.shape)
            }, to: path
        ) { tensor, emit throws(ForjaError) in
            let variable = variables[tensor.name]!
            try variable.forEachChunk(
                from: 0, count: variable.shape.elementCount, on: queue, emit)
        }
    }

    private static func storedName(_ moment: Variable, _ state: AdamWState) -> String {
        let isWhole = state.elements.count == state.parameter.shape.elementCount
        return isWhole
            ? moment.name
            : "\(moment.name)[\(state.elements.lowerBound):\(state.elements.upperBound)]"
    }

    // MARK: Reading

    private struct Slice {
        let file: SafetensorsFile
        let tensor: SafetensorsTensor
        /// Of the whole tensor.
        let elements: Range<Int>
    }

    /// Slices by the name of the whole, ascending.
    private var slices: [String: [Slice]] = [:]
    private let directory: String

    /// Opens the files of a checkpoint.
    init(directory: String, fileNames: [String]) throws(ForjaError) {
        self.directory = directory
        for name in fileNames {
            let file = try SafetensorsFile(
                contentsOf: (directory as NSString).appendingPathComponent(name))
            for tensor in file.tensors {
                guard let (whole, elements) = Self.parse(tensor), tensor.dtype == .float32 else {
                    throw ForjaError(
                        .damagedFile,
                        "\(file.path): tensor \(tensor.name) is \(tensor.dtype.rawValue) "
                            + "\(tensor.shape), expected F32 and as many elements as its name says",
                        fix: "resume from another checkpoint")
                }
                slices[whole, default: []].append(
                    Slice(file: file, tensor: tensor, elements: elements))
            }
        }
        for name in slices.keys {
            slices[name]!.sort { $0.elements.lowerBound < $1.elements.lowerBound }
        }
    }

    /// Name of the whole and the elements held; `nil` where they do not fit the shape.
    private static func parse(_ tensor: SafetensorsTensor) -> (String, Range<Int>)? {
        let count = tensor.shape.elementCount
        guard tensor.name.hasSuffix("]"), let bracket = tensor.name.lastIndex(of: "[") else {
            return (tensor.name, 0..<count)
        }
        let bounds = tensor.name[tensor.name.index(after: bracket)...].dropLast()
            .split(separator: ":").compactMap { Int($0) }
        guard bounds.count == 2, bounds[0] >= 0, bounds[0] <= bounds[1],
            bounds[1] - bounds[0] == count
        else { return nil }
        return (String(tensor.name[..<bracket]), bounds[0]..<bounds[1])
    }

    /// Fills what a rank updates, whichever ranks wrote it.
    ///
    /// - Throws: `.damagedFile` naming the tensor of which elements are missing or that has another shape.
    func restore(_ states: [AdamWState], on queue: Queue) throws(ForjaError) {
        for state in states {
            for moment in [state.firstMoment, state.secondMoment] {
                try restore(moment, state, on: queue)
            }
        }
    }

    private func restore(
        _ moment: Variable, _ state: AdamWState, on queue: Queue
    ) throws(ForjaError) {
        let wanted = state.elements
        let known = slices[moment.name] ?? []
        let shape = state.parameter.shape
        if let whole = known.first, !whole.tensor.name.hasSuffix("]"), whole.tensor.shape != shape {
            throw ForjaError(
                .damagedFile,
                "\(whole.file.path): tensor \(moment.name) is F32 \(whole.tensor.shape), expected "
                    + "F32 \(shape)",
                fix: "resume with the recipe that wrote it")
        }
        var next = wanted.lowerBound
        for slice in known
        where slice.elements.lowerBound <= next && slice.elements.upperBound > next {
            let part = next..<min(slice.elements.upperBound, wanted.upperBound)
            guard !part.isEmpty else { break }
            let first = (part.lowerBound - slice.elements.lowerBound) * 4
            try slice.file.withUnsafeBytes(of: slice.tensor.name) { bytes throws(ForjaError) in
                try moment.writeBytes(
                    UnsafeRawBufferPointer(rebasing: bytes[first..<first + part.count * 4]),
                    at: part.lowerBound - wanted.lowerBound, on: queue)
            }
            next = part.upperBound
        }
        guard next == wanted.upperBound else {
            throw ForjaError(
                .damagedFile,
                "\(directory) has no elements \(next) to \(wanted.upperBound) of \(moment.name) "
                    + "\(shape)",
                fix: "resume with the recipe that wrote it, or from another checkpoint")
        }
    }
}
