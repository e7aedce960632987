import ForjaCore
import ForjaModels
import ForjaParallel
import Testing

@Suite("Cluster workload of Llama")
struct LlamaClusterWorkloadTests {
    static let configuration = LlamaConfiguration(
        width: 64, layers: 3, heads: 8, keyValueHeads: 4, feedForwardWidth: 128,
        vocabularySize: 256, contextLength: 32, tiesEmbeddings: false)

    func workload(
        _ configuration: LlamaConfiguration = configuration, tensor: Int = 1, context: Int = 1,
        recompute: ClusterPlan.Recompute = .none
    ) throws -> ClusterWorkload {
        var plan = ClusterPlan(
            nodes: tensor * context, devicesPerNode: 1, data: 1, sequenceLength: 32)
        plan.tensor = tensor
        plan.context = context
        plan.sequences = 2
        plan.recompute = recompute
        return try configuration.clusterWorkload(for: plan, computeType: .bfloat16)
    }

    /// Floating-point operations of the whole model, forward and backward, on one device.
    func flops(
        _ workload: ClusterWorkload, _ kinds: Set<ClusterWorkload.Kernel.Kind>
    ) -> Double {
        func sum(_ block: ClusterWorkload.Block) -> Double {
            (block.forward + block.backward).filter { kinds.contains($0.kind) }
                .reduce(0) { $0 + $1.flops }
        }
        return sum(workload.embedding) + Double(workload.layers) * sum(workload.layer)
            + sum(workload.head)
    }

    @Test("recorded products are 6 operations a parameter and token")
    func products() throws {
        let workload = try workload()
        #expect(
            flops(workload, [.matmul]) == 6 * Double(Self.configuration.matmulParameterCount) * 64)
        let parameters =
            workload.embedding.parameters + workload.head.parameters
            + 3 * workload.layer.parameters
        #expect(parameters == Double(Self.configuration.parameterCount))
    }

    @Test("recorded attention is the causal half forward, two and a half times that backward")
    func attention() throws {
        let workload = try workload()
        // 2 · H·D·T per token and layer; the diagonal may be counted whole.
        let half = 2 * 64.0 * 32 * 64 * 3
        let forward = flops(workload, [.attentionForward])
        #expect(forward >= half && forward <= half * 33 / 32)
        #expect(abs(flops(workload, [.attentionBackward]) - 2.5 * forward) < 1)
    }

    @Test("ranks of an axis share the operations of one device", arguments: [2, 4])
    func slices(degree: Int) throws {
        let one = try workload()
        let tensor = try workload(tensor: degree)
        let context = try workload(context: degree)
        for kinds: Set<ClusterWorkload.Kernel.Kind> in [
            [.matmul], [.attentionForward, .attentionBackward],
        ] {
            let whole = flops(one, kinds)
            #expect(abs(flops(tensor, kinds) * Double(degree) / whole - 1) < 1e-12)
            // Rows of the diagonal's blocks count a little more where there are more of them.
            #expect(abs(flops(context, kinds) * Double(degree) / whole - 1) < 0.1)
        }
        #expect(tensor.layer.savedBytes < one.layer.savedBytes / Double(degree) * 1.01)
        #expect(context.keyValueBytes == one.keyValueBytes)
        #expect(context.activationBytes * Double(degree) == one.activationBytes)
    }

    @Test("recomputation trades operations for kept bytes")
    func recomputation() throws {
        let none = try workload()
        let selective = try workload(recompute: .selective)
        let block = try workload(recompute: .block)
        let all: Set<ClusterWorkload.Kernel.Kind> = [
            .matmul, .attentionForward, .attentionBackward,
        ]
        #expect(flops(none, all) < flops(selective, all))
        #expect(flops(selective, all) < flops(block, all))
        #expect(none.layer.savedBytes > selective.layer.savedBytes)
        #expect(selective.layer.savedBytes > block.layer.savedBytes)
        // A block's input, 64 rows of C in bfloat16.
        #expect(block.layer.savedBytes == 64 * 64 * 2)
    }

    @Test("a tied head costs products but no parameters on one stage")
    func tied() throws {
        var configuration = Self.configuration
        configuration.tiesEmbeddings = true
        let workload = try workload(configuration)
        #expect(
            workload.embedding.parameters + workload.head.parameters
                + 3 * workload.layer.parameters == Double(configuration.parameterCount))
    }

    @Test("a tensor degree that does not divide is refused with those that do")
    func refusal() {
        do {
            _ = try workload(tensor: 3)
            Issue.record("accepted")
        } catch {
            let error = error as? ForjaError
            #expect(error?.message.contains("parallel.tensor is 3") == true)
            #expect(error?.fix == "set parallel.tensor to 1, 2, 4")
        }
    }
}
