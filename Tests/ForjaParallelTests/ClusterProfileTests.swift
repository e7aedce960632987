import ForjaCore
import ForjaParallel
import Foundation
import Testing

@Suite("Cluster profile")
struct ClusterProfileTests {
    static let shipped = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../Benchmarks/profiles/h100-sxm.json").standardizedFileURL.path

    /// The shipped profile with one piece of its text replaced.
    func failure(replacing old: String, by new: String) throws -> ForjaError? {
        let text = try String(contentsOfFile: Self.shipped, encoding: .utf8)
        try #require(text.contains(old))
        let file = FileManager.default.temporaryDirectory
            .appendingPathComponent("profile-\(UUID().uuidString).json")
        try text.replacingOccurrences(of: old, with: new).write(
            to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        do throws(ForjaError) {
            _ = try ClusterProfile(contentsOf: file.path)
            return nil
        } catch { return error }
    }

    @Test("the shipped profile reads, and says where every number is from")
    func shipped() throws {
        let profile = try ClusterProfile(contentsOf: Self.shipped)
        #expect(profile.intraNode.bytesPerSecond == 370e9)
        #expect(profile.interNode.link.bytesPerSecond == 46e9)
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: Self.shipped)))
                as? [String: Any])
        func leaves(_ object: [String: Any], _ path: String) -> [String] {
            object.flatMap { key, value -> [String] in
                let whole = path + key
                if whole == "sources" || whole == "name" { return [] }
                return (value as? [String: Any]).map { leaves($0, whole + ".") } ?? [whole]
            }
        }
        #expect(Set(leaves(object, "")) == Set(profile.sources.keys))
    }

    @Test("products between two sizes are interpolated, beyond them not extrapolated")
    func matmulRates() {
        let rates = ClusterProfile.Rates(
            peakFlopsPerSecond: nil,
            matmul: [
                ClusterProfile.MatmulRate(flops: 10_000, flopsPerSecond: 300),
                ClusterProfile.MatmulRate(flops: 100, flopsPerSecond: 100),
            ], matmulSustainedFraction: 0.5, attentionForwardFlopsPerSecond: 1,
            attentionBackwardFlopsPerSecond: 1)
        #expect(rates.matmulFlopsPerSecond(flops: 1) == 50)
        #expect(rates.matmulFlopsPerSecond(flops: 100) == 50)
        #expect(abs(rates.matmulFlopsPerSecond(flops: 1000) - 100) < 1e-9)
        #expect(rates.matmulFlopsPerSecond(flops: 1e9) == 150)
    }

    @Test("what is missing, of the wrong type or impossible is refused by its key")
    func refusals() throws {
        #expect(
            try failure(replacing: "\"kernel_launch_s\"", by: "\"kernel_lunch_s\"")?.message
                .contains("kernel_launch_s is missing") == true)
        #expect(
            try failure(replacing: "370e9", by: "\"fast\"")?.message
                .contains("intra_node.bytes_per_s") == true)
        #expect(
            try failure(replacing: "370e9", by: "0")?.message
                .contains("intra_node.bytes_per_s is 0") == true)
        #expect(
            try failure(replacing: "\"efficiency\": 0.92", by: "\"efficiency\": 1.2")?.message
                .contains("inter_node.efficiency") == true)
        #expect(
            try failure(replacing: "\"rates\"", by: "rates")?.message.contains("not JSON") == true)
        #expect(throws: ForjaError.self) { try ClusterProfile(contentsOf: "/nowhere.json") }
        let profile = try ClusterProfile(contentsOf: Self.shipped)
        #expect(throws: ForjaError.self) { try profile.rates(for: "f32") }
    }
}
