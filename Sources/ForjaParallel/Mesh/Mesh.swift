import ForjaCore

/// How the ranks of a run are arranged: `data` groups of `tensor` ranks each.
///
/// Ranks of one tensor group are neighbours, since they exchange most:
///
///     data 2 × tensor 2      tensor 0  tensor 1
///                  data 0    rank 0    rank 1
///                  data 1    rank 2    rank 3
///
/// A **tensor group** holds one replica of the model; a **data group**, a column above, holds the same part of every
/// replica.
public struct Mesh: Hashable, Sendable, Codable {
    public let data: Int
    public let tensor: Int

    public init(data: Int, tensor: Int) {
        precondition(data >= 1 && tensor >= 1)
        self.data = data
        self.tensor = tensor
    }

    public var rankCount: Int { data * tensor }

    /// A rank's place along the data axis: which replica, and which of its optimizer's shards.
    public func dataIndex(of rank: Int) -> Int { rank / tensor }
    /// A rank's place along the tensor axis: which part of the model.
    public func tensorIndex(of rank: Int) -> Int { rank % tensor }

    /// "data 2 × tensor 1"
    public var description: String { "data \(data) × tensor \(tensor)" }
}
