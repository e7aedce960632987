import ForjaCore
import ForjaFormats
import ForjaModels
import ForjaNN
import ForjaParallel
import ForjaRuntime
import Foundation

/// The optimizer's state on disk: one file a rank, holding what that rank updates and no other does.
///
///     optimizer.safetensors                    one rank
///     optimizer-00002-of-00004.safetensors     the second of four
///
/// A tensor that a rank has whole carries the parameter's shape and name, `down.first_moment`. That of a rank of a tensor
/// group is its slice of the parameter, `down.first_moment@2-of-4`. Of either, the part that a data-parallel rank updates
/// is flat and its name says which elements it holds, `down.first_moment[4096:8192]`. So ranks of any mesh can read what
/// those of any other wrote.
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
        _ states: [AdamWState], of model: LlamaModel, to path: String, on queue: Queue
    ) throws(ForjaError) -> [String: SHA256Digest] {
        var variables: [String: Variable] = [:]
        for state in states {
            let slice = model.slice(of: state.parameter)
            // What every rank of a tensor group has, the first one writes.
            if slice.isReplicated, model.sharding.group.rank > 0 { continue }
            for moment in [state.firstMoment, state.secondMoment] {
                variables[storedName(moment, state, slice)] = moment
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

    private static func storedName(
        _ moment: Variable, _ state: AdamWState, _ slice: ParameterSlice
    ) -> String {
        let rank = slice.isReplicated ? "" : "@\(slice.rank + 1)-of-\(slice.rankCount)"
        let isWhole = state.elements.count == state.parameter.shape.elementCount
        return moment.name + rank
            + (isWhole ? "" : "[\(state.elements.lowerBound):\(state.elements.upperBound)]")
    }

    // MARK: Reading

    /// A stored tensor, and what its name says of it.
    private struct Stored {
        let file: SafetensorsFile
        let tensor: SafetensorsTensor
        /// Name of the whole.
        var name: String
        var rank = 0
        var rankCount = 1
        /// Of the rank's slice.
        var elements: Range<Int>

        /// `nil` where the name does not fit the shape.
        init?(_ tensor: SafetensorsTensor, in file: SafetensorsFile) {
            self.file = file
            self.tensor = tensor
            name = tensor.name
            elements = 0..<tensor.shape.elementCount
            if name.hasSuffix("]"), let bracket = name.lastIndex(of: "[") {
                let bounds = name[name.index(after: bracket)...].dropLast()
                    .split(separator: ":").compactMap { Int($0) }
                guard bounds.count == 2, bounds[0] >= 0,
                    bounds[1] - bounds[0] == elements.count
                else { return nil }
                elements = bounds[0]..<bounds[1]
                name = String(name[..<bracket])
            }
            guard let at = name.lastIndex(of: "@") else { return }
            let numbers = name[name.index(after: at)...].split(separator: "-")
            guard numbers.count == 3, numbers[1] == "of", let number = Int(numbers[0]),
                let count = Int(numbers[2]), 1 <= number, number <= count
            else { return nil }
            (rank, rankCount) = (number - 1, count)
            name = String(name[..<at])
        }

        var isFlat: Bool { tensor.name.hasSuffix("]") }

        /// The slice of the parameter that it belongs to; `nil` where the parameter has none such.
        func slice(of whole: ParameterSlice) -> ParameterSlice? {
            guard whole.divides(by: rankCount) else { return nil }
            let slice = whole.slice(rank: rank, of: rankCount)
            let fits =
                isFlat
                ? elements.upperBound <= slice.shape.elementCount : tensor.shape == slice.shape
            return fits ? slice : nil
        }
    }

    /// By the name of the whole.
    private var stored: [String: [Stored]] = [:]
    private let directory: String

    /// Opens the files of a checkpoint.
    init(directory: String, fileNames: [String]) throws(ForjaError) {
        self.directory = directory
        for name in fileNames {
            let file = try SafetensorsFile(
                contentsOf: (directory as NSString).appendingPathComponent(name))
            for tensor in file.tensors {
                guard let found = Stored(tensor, in: file), tensor.dtype == .float32 else {
                    throw ForjaError(
                        .damagedFile,
                        "\(file.path): tensor \(tensor.name) is \(tensor.dtype.rawValue) "
                            + "\(tensor.shape), expected F32 and as many elements as its name says",
                        fix: "resume from another checkpoint")
                }
                stored[found.name, default: []].append(found)
            }
        }
    }

    /// Fills what a rank updates, whichever ranks wrote it.
    ///
    /// - Throws: `.damagedFile` naming the tensor of which elements are missing or that has another shape.
    func restore(
        _ states: [AdamWState], of model: LlamaModel, on queue: Queue
    ) throws(ForjaError) {
        for state in states {
            for moment in [state.firstMoment, state.secondMoment] {
                try restore(moment, state, model.slice(of: state.parameter), on: queue)
            }
        }
    }

    private func restore(
        _ moment: Variable, _ state: AdamWState, _ slice: ParameterSlice, on queue: Queue
    ) throws(ForjaError) {
        /// A run of elements of the whole, and where a stored tensor has it.
        struct Run {
            let whole: Range<Int>
            let tensor: Int
            let offset: Int
        }
        let known = stored[moment.name] ?? []
        var runs: [Run] = []
        for (index, tensor) in known.enumerated() {
            guard let part = tensor.slice(of: slice) else {
                throw ForjaError(
                    .damagedFile,
                    "\(tensor.file.path): tensor \(tensor.tensor.name) is F32 "
                        + "\(tensor.tensor.shape), expected a part of F32 \(slice.whole)",
                    fix: "resume with the recipe that wrote it")
            }
            runs += part.segments(of: tensor.elements)
                .map { Run(whole: $0.whole, tensor: index, offset: $0.offset) }
        }
        runs.sort { $0.whole.lowerBound < $1.whole.lowerBound }
        var values = [Float](repeating: 0, count: state.elements.count)
        var place = 0
        for wanted in slice.segments(of: state.elements) {
            var next = wanted.whole.lowerBound
            while next < wanted.whole.upperBound {
                while place < runs.count, runs[place].whole.upperBound <= next { place += 1 }
                guard place < runs.count, runs[place].whole.lowerBound <= next else {
                    throw ForjaError(
                        .damagedFile,
                        "\(directory) has no elements \(next) to \(wanted.whole.upperBound) of "
                            + "\(moment.name) \(slice.whole)",
                        fix: "resume with the recipe that wrote it, or from another checkpoint")
                }
                let run = runs[place]
                let end = min(run.whole.upperBound, wanted.whole.upperBound)
                let source = (run.offset + next - run.whole.lowerBound) * 4
                let target = wanted.offset + next - wanted.whole.lowerBound
                let count = end - next
                let tensor = known[run.tensor]
                try tensor.file.withUnsafeBytes(of: tensor.tensor.name) {
                    bytes throws(ForjaError) in
                    for index in 0..<count {
                        values[target + index] = Float(
                            bitPattern: UInt32(
                                littleEndian: bytes.loadUnaligned(
                                    fromByteOffset: source + index * 4, as: UInt32.self)))
                    }
                }
                next = end
            }
        }
        try moment.write(values, on: queue)
    }
}
