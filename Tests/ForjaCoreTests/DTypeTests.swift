import ForjaCore
import Testing

@Suite("Element type")
struct DTypeTests {
    @Test("has the size of its storage")
    func hasSizeOfStorage() {
        #expect(DType.float32.byteCount == 4)
        #expect(DType.int32.byteCount == 4)
        #expect(DType.bfloat16.byteCount == 2)
        #expect(DType.float16.byteCount == 2)
    }

    @Test("is spelt as the command line spells it")
    func isSpeltAsOnTheCommandLine() {
        #expect(DType.allCases.map(\.rawValue) == ["f32", "bf16", "f16", "i32"])
        #expect(DType(rawValue: "float32") == nil)
    }
}
