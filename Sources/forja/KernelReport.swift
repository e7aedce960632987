import ForjaCore
import ForjaRuntime
import Foundation

/// The document of `forja bench kernels --json`.
struct KernelReport: Encodable {
    struct Peaks: Encodable {
        let flopsPerSecond: Double
        let bytesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case flopsPerSecond = "flops_per_s"
            case bytesPerSecond = "bytes_per_s"
        }
    }

    let device: String
    let threads: Int
    let shape: String
    let peaks: Peaks
    let rows: [KernelRow]
    let summary: [KernelSummary]
}

/// One measured call. Every key is always there; what does not apply is null.
struct KernelRow: Encodable {
    let measurement: KernelMeasurement

    init(_ measurement: KernelMeasurement) { self.measurement = measurement }

    /// BLAS's time over Forja's: above 1, Forja is faster.
    var blasRatio: Double? { measurement.blasSeconds.map { $0 / measurement.seconds } }

    /// "matmul nt 2048x768x256", as summaries name it.
    var name: String { "\(measurement.operation) \(measurement.shape)" }

    enum CodingKeys: String, CodingKey {
        case op, shape, dtype, variant, ms, error
        case callsPerStep = "calls_per_step"
        case flopsPerSecond = "flops_per_s"
        case bytesPerSecond = "bytes_per_s"
        case fractionOfPeak = "fraction_of_peak"
        case copyBytesPerSecond = "copy_bytes_per_s"
        case blasMilliseconds = "openblas_ms"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(measurement.operation, forKey: .op)
        try container.encode(measurement.shape, forKey: .shape)
        try container.encode(measurement.dtype, forKey: .dtype)
        try container.encode(measurement.variant, forKey: .variant)
        try container.encode(measurement.callsPerStep, forKey: .callsPerStep)
        try container.encode(measurement.seconds * 1e3, forKey: .ms)
        try container.encode(measurement.flopsPerSecond, forKey: .flopsPerSecond)
        try container.encode(measurement.bytesPerSecond, forKey: .bytesPerSecond)
        try container.encode(measurement.fractionOfPeak, forKey: .fractionOfPeak)
        try container.encode(measurement.error, forKey: .error)
        try container.encode(measurement.copyBytesPerSecond, forKey: .copyBytesPerSecond)
        try container.encode(measurement.blasSeconds.map { $0 * 1e3 }, forKey: .blasMilliseconds)
    }

    /// One line of the table.
    var line: String {
        let speed =
            measurement.flopsPerSecond.map { ($0, "GFLOP/s") }
            ?? (measurement.bytesPerSecond ?? 0, "GB/s")
        var line =
            column(measurement.operation, 19) + column(measurement.shape, 27)
            + column(measurement.dtype.rawValue, 5) + column(measurement.variant, 16)
        line += String(format: "%10.3f ms %8.1f ", measurement.seconds * 1e3, speed.0 / 1e9)
        line += column(speed.1, 8)
        line +=
            measurement.fractionOfPeak.map { String(format: "%4.0f %% of peak", $0 * 100) }
            ?? "      n/a      "
        line += String(format: "  error %.1e", measurement.error)
        if let ratio = blasRatio { line += String(format: "  %.2f of BLAS", ratio) }
        return line
    }

    private func column(_ text: String, _ width: Int) -> String {
        text.padding(toLength: max(width, text.count + 1), withPad: " ", startingAt: 0)
    }
}

/// What the rows of one operation come to.
struct KernelSummary: Encodable {
    let op: String
    let rows: Int
    /// Geometric mean; `nil` where a row has none.
    let fractionOfPeak: Double?
    let leastFractionOfPeak: Double?
    /// BLAS's time over Forja's: geometric mean, least, and where.
    let blasRatio: Double?
    let leastBLASRatio: Double?
    let leastBLASRatioShape: String?

    enum CodingKeys: String, CodingKey {
        case op, rows
        case fractionOfPeak = "fraction_of_peak"
        case leastFractionOfPeak = "least_fraction_of_peak"
        case blasRatio = "openblas_ratio"
        case leastBLASRatio = "least_openblas_ratio"
        case leastBLASRatioShape = "least_openblas_ratio_shape"
    }

    /// Of each operation, in the order of its first row.
    static func all(of rows: [KernelRow]) -> [KernelSummary] {
        var seen: Set<String> = []
        return rows.map(\.measurement.operation).filter { seen.insert($0).inserted }
            .map { operation in
                KernelSummary(operation, rows.filter { $0.measurement.operation == operation })
            }
    }

    private init(_ operation: String, _ rows: [KernelRow]) {
        op = operation
        self.rows = rows.count
        let fractions = rows.compactMap(\.measurement.fractionOfPeak)
        let isWhole = fractions.count == rows.count
        fractionOfPeak = isWhole ? Self.geometricMean(fractions) : nil
        leastFractionOfPeak = isWhole ? fractions.min() : nil
        let ratios = rows.compactMap(\.blasRatio)
        blasRatio = ratios.isEmpty ? nil : Self.geometricMean(ratios)
        let least = rows.filter { $0.blasRatio != nil }.min { $0.blasRatio! < $1.blasRatio! }
        leastBLASRatio = least?.blasRatio
        leastBLASRatioShape = least?.measurement.shape
    }

    private static func geometricMean(_ values: [Double]) -> Double {
        exp(values.reduce(0) { $0 + log($1) } / Double(values.count))
    }

    /// "matmul, 15 rows: 81 % of peak (least 70 %), 1.04 of BLAS (least 0.91: tn 256x256x2048)".
    var line: String {
        var line = "\(op), \(rows) row\(rows == 1 ? "" : "s"), geometric mean:"
        if let fractionOfPeak, let leastFractionOfPeak {
            line += String(
                format: " %.0f %% of peak (least %.0f %%)", fractionOfPeak * 100,
                leastFractionOfPeak * 100)
        } else {
            line += " no peak"
        }
        if let blasRatio, let leastBLASRatio, let leastBLASRatioShape {
            line += String(
                format: ", %.2f of BLAS's speed (least %.2f: %@)", blasRatio, leastBLASRatio,
                leastBLASRatioShape)
        }
        return line
    }
}
