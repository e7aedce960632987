import ForjaCore
import Foundation

/// What one device, its links and its neighbourhood can do: the constants of a simulation, read from a JSON file.
///
/// Every number is declared or measured once for a kind of machine, never per run. `sources` says where each is from.
/// Rates are achieved ones (what a kernel or a collective reaches), only `peakFlopsPerSecond` is the vendor's.
public struct ClusterProfile: Codable, Sendable {
    /// A link between devices.
    public struct Link: Codable, Sendable, Hashable {
        /// Achieved bytes per second of one device, in one direction.
        public var bytesPerSecond: Double
        /// Seconds one hop adds to a message.
        public var latencySeconds: Double

        public init(bytesPerSecond: Double, latencySeconds: Double) {
            self.bytesPerSecond = bytesPerSecond
            self.latencySeconds = latencySeconds
        }

        enum CodingKeys: String, CodingKey {
            case bytesPerSecond = "bytes_per_s"
            case latencySeconds = "latency_s"
        }

        /// The link's time for a message over one hop.
        public func seconds(bytes: Double) -> Double { latencySeconds + bytes / bytesPerSecond }
    }

    /// The link between nodes: its line rate and what share of it collectives reach.
    public struct Network: Codable, Sendable, Hashable {
        /// Line rate of one device's share of the network, gigabits per second, in one direction.
        public var gigabitsPerSecond: Double
        /// Achieved over line rate.
        public var efficiency: Double
        public var latencySeconds: Double

        public init(gigabitsPerSecond: Double, efficiency: Double, latencySeconds: Double) {
            self.gigabitsPerSecond = gigabitsPerSecond
            self.efficiency = efficiency
            self.latencySeconds = latencySeconds
        }

        enum CodingKeys: String, CodingKey {
            case gigabitsPerSecond = "gigabits_per_s"
            case efficiency
            case latencySeconds = "latency_s"
        }

        public var link: Link {
            Link(
                bytesPerSecond: gigabitsPerSecond * 1e9 / 8 * efficiency,
                latencySeconds: latencySeconds)
        }
    }

    /// Rate of a matrix product of a given size.
    public struct MatmulRate: Codable, Sendable, Hashable {
        /// Floating-point operations of the product, 2·M·N·K.
        public var flops: Double
        public var flopsPerSecond: Double

        public init(flops: Double, flopsPerSecond: Double) {
            self.flops = flops
            self.flopsPerSecond = flopsPerSecond
        }

        enum CodingKeys: String, CodingKey {
            case flops
            case flopsPerSecond = "flops_per_s"
        }
    }

    /// Achieved rates of the kernels in one number format.
    public struct Rates: Codable, Sendable {
        /// The vendor's dense peak, which MFU is a fraction of; absent: MFU is not given.
        public var peakFlopsPerSecond: Double?
        /// By size of the product; between two sizes the rate is interpolated over the logarithm of the size.
        public var matmul: [MatmulRate]
        /// What products keep of that rate within a run: under the power limit of hours, with tails and gaps.
        public var matmulSustainedFraction: Double
        /// Causal attention forward, counting half of the score matrix.
        public var attentionForwardFlopsPerSecond: Double
        /// Its backward, five products.
        public var attentionBackwardFlopsPerSecond: Double

        public init(
            peakFlopsPerSecond: Double?, matmul: [MatmulRate],
            matmulSustainedFraction: Double = 1, attentionForwardFlopsPerSecond: Double,
            attentionBackwardFlopsPerSecond: Double
        ) {
            self.peakFlopsPerSecond = peakFlopsPerSecond
            self.matmul = matmul
            self.matmulSustainedFraction = matmulSustainedFraction
            self.attentionForwardFlopsPerSecond = attentionForwardFlopsPerSecond
            self.attentionBackwardFlopsPerSecond = attentionBackwardFlopsPerSecond
        }

        enum CodingKeys: String, CodingKey {
            case peakFlopsPerSecond = "peak_flops_per_s"
            case matmul
            case matmulSustainedFraction = "matmul_sustained_fraction"
            case attentionForwardFlopsPerSecond = "attention_forward_flops_per_s"
            case attentionBackwardFlopsPerSecond = "attention_backward_flops_per_s"
        }

        /// Rate of a product of `flops` operations within a run.
        public func matmulFlopsPerSecond(flops: Double) -> Double {
            matmulSustainedFraction * benchmarkedFlopsPerSecond(flops: flops)
        }

        private func benchmarkedFlopsPerSecond(flops: Double) -> Double {
            let points = matmul.sorted { $0.flops < $1.flops }
            guard let above = points.firstIndex(where: { $0.flops >= flops }) else {
                return points[points.count - 1].flopsPerSecond
            }
            guard above > 0 else { return points[0].flopsPerSecond }
            let (low, high) = (points[above - 1], points[above])
            let share = log(flops / low.flops) / log(high.flops / low.flops)
            return low.flopsPerSecond + share * (high.flopsPerSecond - low.flopsPerSecond)
        }
    }

    /// How often runs stop, and what a stop and a checkpoint cost.
    public struct Reliability: Codable, Sendable, Hashable {
        /// Unexpected stops of a run per thousand nodes and day.
        public var stopsPerThousandNodeDays: Double
        /// From a stop to the first step after it: detection, replacement, start, load.
        public var restartSeconds: Double
        /// Checkpoint bytes one node writes per second while training waits.
        public var checkpointBytesPerSecondPerNode: Double

        public init(
            stopsPerThousandNodeDays: Double, restartSeconds: Double,
            checkpointBytesPerSecondPerNode: Double
        ) {
            self.stopsPerThousandNodeDays = stopsPerThousandNodeDays
            self.restartSeconds = restartSeconds
            self.checkpointBytesPerSecondPerNode = checkpointBytesPerSecondPerNode
        }

        enum CodingKeys: String, CodingKey {
            case stopsPerThousandNodeDays = "stops_per_thousand_node_days"
            case restartSeconds = "restart_s"
            case checkpointBytesPerSecondPerNode = "checkpoint_bytes_per_s_per_node"
        }
    }

    public var name: String
    public var memoryBytes: Double
    /// Achieved rate of kernels bound by memory, bytes read and written per second.
    public var memoryBytesPerSecond: Double
    /// Seconds each kernel adds beside its work.
    public var kernelLaunchSeconds: Double
    /// By number format, `bf16` or `f32`.
    public var rates: [String: Rates]
    /// Between devices of one node.
    public var intraNode: Link
    /// Between nodes.
    public var interNode: Network
    /// Share of a device's compute that a collective takes while it runs beside kernels.
    public var collectiveComputeShare: Double
    public var reliability: Reliability
    /// Where each number is from, by the name of its key.
    public var sources: [String: String]

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name, rates, reliability, sources
        case memoryBytes = "memory_bytes"
        case memoryBytesPerSecond = "memory_bytes_per_s"
        case kernelLaunchSeconds = "kernel_launch_s"
        case intraNode = "intra_node"
        case interNode = "inter_node"
        case collectiveComputeShare = "collective_compute_share"
    }

    public init(
        name: String, memoryBytes: Double, memoryBytesPerSecond: Double,
        kernelLaunchSeconds: Double, rates: [String: Rates], intraNode: Link,
        interNode: Network, collectiveComputeShare: Double, reliability: Reliability,
        sources: [String: String] = [:]
    ) {
        self.name = name
        self.memoryBytes = memoryBytes
        self.memoryBytesPerSecond = memoryBytesPerSecond
        self.kernelLaunchSeconds = kernelLaunchSeconds
        self.rates = rates
        self.intraNode = intraNode
        self.interNode = interNode
        self.collectiveComputeShare = collectiveComputeShare
        self.reliability = reliability
        self.sources = sources
    }

    /// Reads and checks a profile.
    ///
    /// - Throws: `.inputOutput` when the file cannot be read, `.invalidInput` naming the key that is missing or cannot be.
    public init(contentsOf file: String) throws(ForjaError) {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw ForjaError(
                .inputOutput, "the device profile \(file) cannot be read",
                fix: "check the path; Benchmarks/profiles/ holds ready ones")
        }
        do {
            self = try JSONDecoder().decode(ClusterProfile.self, from: data)
        } catch {
            throw ForjaError(
                .invalidInput, "\(file) is no device profile: \(describe(error))",
                fix: "start from Benchmarks/profiles/h100-sxm.json")
        }
        try check(file: file)
    }

    /// Refuses numbers that cannot be.
    func check(file: String) throws(ForjaError) {
        var positive: [(String, Double)] = [
            ("memory_bytes", memoryBytes), ("memory_bytes_per_s", memoryBytesPerSecond),
            ("intra_node.bytes_per_s", intraNode.bytesPerSecond),
            ("inter_node.gigabits_per_s", interNode.gigabitsPerSecond),
            ("inter_node.efficiency", interNode.efficiency),
            (
                "reliability.checkpoint_bytes_per_s_per_node",
                reliability.checkpointBytesPerSecondPerNode
            ),
        ]
        var nonNegative: [(String, Double)] = [
            ("kernel_launch_s", kernelLaunchSeconds),
            ("intra_node.latency_s", intraNode.latencySeconds),
            ("inter_node.latency_s", interNode.latencySeconds),
            ("collective_compute_share", collectiveComputeShare),
            ("reliability.restart_s", reliability.restartSeconds),
            (
                "reliability.stops_per_thousand_node_days", reliability.stopsPerThousandNodeDays
            ),
        ]
        for (format, rate) in rates.sorted(by: { $0.key < $1.key }) {
            let key = "rates.\(format)"
            positive.append((key + ".peak_flops_per_s", rate.peakFlopsPerSecond ?? 1))
            positive.append(
                (key + ".attention_forward_flops_per_s", rate.attentionForwardFlopsPerSecond))
            positive.append(
                (key + ".attention_backward_flops_per_s", rate.attentionBackwardFlopsPerSecond))
            positive.append((key + ".matmul_sustained_fraction", rate.matmulSustainedFraction))
            nonNegative.append(
                (key + ".matmul_sustained_fraction below 1", 1 - rate.matmulSustainedFraction))
            // An empty table has a smallest rate of 0, which is refused below.
            positive.append(
                (key + ".matmul", rate.matmul.map { min($0.flops, $0.flopsPerSecond) }.min() ?? 0))
        }
        nonNegative.append(("inter_node.efficiency below 1", 1 - interNode.efficiency))
        nonNegative.append(("collective_compute_share below 1", 1 - collectiveComputeShare))
        for (key, value) in positive where !(value > 0) {
            throw ForjaError(
                .invalidInput, "\(key) is \(value) in the device profile \(file)",
                fix: "give a number above 0")
        }
        for (key, value) in nonNegative where !(value >= 0) {
            throw ForjaError(
                .invalidInput, "\(key) does not hold in the device profile \(file)",
                fix: "give a number of at least 0; shares and efficiencies are at most 1")
        }
    }

    /// Rates of a number format.
    ///
    /// - Throws: `.invalidInput` naming the formats there are.
    public func rates(for format: String) throws(ForjaError) -> Rates {
        guard let found = rates[format] else {
            throw ForjaError(
                .invalidInput, "the device profile \(name) has no rates for \(format)",
                fix: "set training.dtype to \(rates.keys.sorted().joined(separator: " or ")), "
                    + "or add rates.\(format) to the profile")
        }
        return found
    }
}

/// The path of the key at fault, in words.
private func describe(_ error: any Error) -> String {
    func path(_ context: DecodingError.Context, _ key: (any CodingKey)? = nil) -> String {
        (context.codingPath + [key].compactMap { $0 }).map(\.stringValue).joined(separator: ".")
    }
    switch error as? DecodingError {
    case .keyNotFound(let key, let context): return "\(path(context, key)) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
        return "\(path(context)) has the wrong type"
    case .dataCorrupted(let context) where !context.codingPath.isEmpty:
        return "\(path(context)) cannot be read"
    default: return "it is not JSON"
    }
}
