/// A response to grade: `{"response": "..", "ground_truth": ..}`; other keys are passed over.
public struct GradedRow: Decodable, Sendable {
    public let response: String
    public let groundTruth: GroundTruth

    enum CodingKeys: String, CodingKey {
        case response
        case groundTruth = "ground_truth"
    }
}
