import Dispatch
import ForjaCore
import ForjaRuntime
import Foundation

/// A prompt to answer.
public struct GenerationRequest: Sendable, Equatable {
    /// At least one token.
    public var prompt: [Int32]
    /// Number in the random streams: a draw depends on the seed, this and the place in the answer alone.
    public var sequence: Int

    public init(prompt: [Int32], sequence: Int) {
        self.prompt = prompt
        self.sequence = sequence
    }
}

/// An answer, with the log-probabilities it was drawn with.
public struct Completion: Sendable, Equatable {
    public enum Finish: String, Codable, Sendable {
        /// An end token was drawn; it is the last id.
        case stop
        /// The limit was reached, or the model's positions were.
        case length
        /// The caller asked to stop.
        case interrupted
    }

    public var ids: [Int32] = []
    /// Of each id, under the distribution it was drawn from.
    public var logProbabilities: [Float] = []
    /// Of each id, under the model's own distribution: what scoring prompt and answer gives.
    public var modelLogProbabilities: [Float] = []
    public var finish = Finish.interrupted
}

/// Answers any number of prompts, `width` at a time: where an answer ends, the next prompt takes its place.
///
/// An answer depends on its prompt, the settings and its sequence number; on what is beside it only through rounding, since
/// products of other row counts may sum in another order. Every rank of a tensor group runs the same requests.
public final class BatchEngine {
    private let decoder: CachedDecoder
    /// Threads that draw tokens.
    private let drawerCount: Int

    /// Answers in progress.
    fileprivate struct Place: Sendable {
        let request: Int
        let sequence: Int
        let limit: Int
        /// Positions in its cache.
        var cached: Int
        var newest: Int32
        var completion = Completion()
    }

    /// Records and plans; allocates nothing on the device.
    ///
    /// - Parameters:
    ///   - model: Allocated, with weights.
    ///   - width: Answers in progress at once.
    ///   - capacity: Tokens of the longest prompt and answer together; cut to the model's positions.
    public init(
        model: LlamaModel, width: Int, capacity: Int, queue: Queue
    ) throws(ForjaError) {
        decoder = try CachedDecoder(model: model, places: width, capacity: capacity, queue: queue)
        let device = queue.device.description
        let threads =
            device.kind == .host ? device.threadCount : ProcessInfo.processInfo.activeProcessorCount
        drawerCount = min(max(threads, 1), width)
    }

    public var width: Int { decoder.placeCount }
    /// Tokens of the longest prompt.
    public var capacity: Int { decoder.capacity }
    /// Bytes held beside the model's. The queue's workspace is not among them.
    public var byteCount: Int { decoder.byteCount }

    /// Allocates what the first request would.
    public func prepare() throws(ForjaError) { try decoder.prepare() }

    /// As `Scheduler.startProfile`.
    public func startProfile() throws(ForjaError) -> StepProfile { try decoder.startProfile() }

    /// Answers every request.
    ///
    /// - Parameters:
    ///   - requests: Taken in order.
    ///   - maxNewTokens: Most ids of an answer, its end token included; at least 1.
    ///   - stopIDs: Ids that end an answer.
    ///   - onCompletion: Called with the request's number as its answer ends, in the order in which they do.
    ///   - isStopped: Asked once a token; what is in progress then ends as `interrupted`.
    /// - Returns: One completion a request, in order; those not begun are empty and `interrupted`.
    /// - Throws: `.invalidInput` naming a request whose prompt is empty, outside the vocabulary or longer than `capacity`;
    ///   `.notFinite` when the model's logits are not numbers.
    @discardableResult
    public func run(
        _ requests: [GenerationRequest], maxNewTokens: Int, sampling: SamplingSettings,
        stopIDs: Set<Int32> = [],
        onCompletion: (Int, Completion) throws(ForjaError) -> Void = { _, _ in },
        isStopped: () -> Bool = { false }
    ) throws(ForjaError) -> [Completion] {
        precondition(maxNewTokens >= 1)
        for (number, request) in requests.enumerated() { try check(request, number: number) }
        try prepare()
        let sampler = Sampler(sampling)
        var completions = Array(repeating: Completion(), count: requests.count)
        var places = [Place?](repeating: nil, count: width)
        var tokens = [Int32](repeating: 0, count: width)
        var positions = tokens
        let nothing = Draw(id: 0, logProbability: 0, modelLogProbability: 0)
        var draws = Array(repeating: nothing, count: width)
        var next = 0
        while true {
            try admit(requests, &next, into: &places, maxNewTokens: maxNewTokens)
            guard places.contains(where: { $0 != nil }) else { break }
            for index in places.indices {
                // A place without an answer computes as the others do, at position 0.
                tokens[index] = places[index]?.newest ?? 0
                positions[index] = Int32(places[index]?.cached ?? 0)
            }
            try decoder.decode(tokens: tokens, positions: positions)
            draw(places, with: sampler, into: &draws)
            for index in places.indices where places[index] != nil {
                let draw = draws[index]
                guard draw.logProbability.isFinite, draw.modelLogProbability.isFinite else {
                    throw ForjaError(
                        .notFinite,
                        "token \(places[index]!.completion.ids.count) of answer "
                            + "\(places[index]!.request) has log-probability "
                            + "\(draw.modelLogProbability)",
                        fix: "use a checkpoint from before the weights became infinite")
                }
                places[index]!.take(draw, stopIDs: stopIDs)
                let completion = places[index]!.completion
                guard completion.finish != .interrupted else { continue }
                completions[places[index]!.request] = completion
                try onCompletion(places[index]!.request, completion)
                places[index] = nil
            }
            // Ranks stop together, whichever was told to.
            if try decoder.model.sharding.group.gather(isStopped()).contains(true) {
                for place in places.compactMap({ $0 }) {
                    completions[place.request] = place.completion
                }
                break
            }
        }
        return completions
    }

    private func check(_ request: GenerationRequest, number: Int) throws(ForjaError) {
        do throws(ForjaError) {
            try decoder.model.check(request.prompt)
            guard request.prompt.count <= capacity else {
                throw ForjaError(
                    .invalidInput,
                    "\(request.prompt.count) tokens, and there is room for \(capacity)",
                    fix: "shorten the prompt, or use a model with a longer context")
            }
        } catch {
            var named = error
            named.message = "prompt \(number): \(error.message)"
            throw named
        }
    }

    /// Gives free places the next requests and reads their prompts.
    private func admit(
        _ requests: [GenerationRequest], _ next: inout Int, into places: inout [Place?],
        maxNewTokens: Int
    ) throws(ForjaError) {
        guard next < requests.count, places.contains(where: { $0 == nil }) else { return }
        var texts = [ArraySlice<Int32>](repeating: [], count: width)
        for index in places.indices where places[index] == nil && next < requests.count {
            let prompt = requests[next].prompt
            // All but the last token, which the next decoding reads.
            texts[index] = prompt.dropLast()
            // The last id of an answer is drawn and never read.
            let limit = min(maxNewTokens, capacity - prompt.count + 1)
            places[index] = Place(
                request: next, sequence: requests[next].sequence, limit: limit,
                cached: prompt.count - 1, newest: prompt[prompt.count - 1])
            places[index]!.completion.reserve(limit)
            next += 1
        }
        try decoder.fill(texts)
    }

    /// Draws a token for each answer in progress, several at once: each is a pass over a vocabulary.
    private func draw(_ places: [Place?], with sampler: Sampler, into draws: inout [Draw]) {
        let vocabulary = decoder.model.configuration.vocabularySize
        let drawers = drawerCount
        decoder.logits.withUnsafeBufferPointer { logits in
            draws.withUnsafeMutableBufferPointer { draws in
                // Each index is written by one thread.
                nonisolated(unsafe) let draws = draws
                nonisolated(unsafe) let logits = logits
                @Sendable func draw(_ drawer: Int) {
                    for index in stride(from: drawer, to: places.count, by: drawers) {
                        guard let place = places[index] else { continue }
                        draws[index] = sampler.scoredDraw(
                            from: UnsafeBufferPointer(
                                rebasing: logits[(index * vocabulary)..<((index + 1) * vocabulary)]),
                            sequence: place.sequence, index: place.completion.ids.count)
                    }
                }
                if drawers == 1 {
                    draw(0)
                } else {
                    DispatchQueue.concurrentPerform(iterations: drawers, execute: draw)
                }
            }
        }
    }
}

extension BatchEngine.Place {
    mutating func take(_ draw: Draw, stopIDs: Set<Int32>) {
        cached += 1
        newest = draw.id
        completion.ids.append(draw.id)
        completion.logProbabilities.append(draw.logProbability)
        completion.modelLogProbabilities.append(draw.modelLogProbability)
        if stopIDs.contains(draw.id) {
            completion.finish = .stop
        } else if completion.ids.count >= limit {
            completion.finish = .length
        }
    }
}

extension Completion {
    mutating func reserve(_ count: Int) {
        ids.reserveCapacity(count)
        logProbabilities.reserveCapacity(count)
        modelLogProbabilities.reserveCapacity(count)
    }
}
