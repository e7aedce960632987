import ForjaCore
import Testing

@Suite("Error text")
struct ForjaErrorTests {
    @Test("is the message alone when there is nothing to add")
    func isMessageAlone() {
        #expect("\(ForjaError(.device, "the device is gone"))" == "the device is gone")
    }

    @Test("ends in the fix, on a line of its own")
    func endsInFix() {
        let error = ForjaError(
            .invalidInput, "parallel.tensor is 8 but the model has 4 key-value heads",
            fix: "set parallel.tensor to 1, 2 or 4")
        #expect(
            "\(error)" == """
                parallel.tensor is 8 but the model has 4 key-value heads
                  fix: set parallel.tensor to 1, 2 or 4
                """)
    }

    @Test("puts the cause before the fix")
    func putsCauseBeforeFix() {
        let error = ForjaError(
            .inputOutput, "cannot write model.safetensors", fix: "free 2 GiB on /data",
            cause: "No space left on device")
        #expect(
            "\(error)" == """
                cannot write model.safetensors
                  cause: No space left on device
                  fix: free 2 GiB on /data
                """)
    }

    @Test("keeps code and parts for programs")
    func keepsParts() {
        let error = ForjaError(.notFinite, "loss is nan at step 12", fix: "lower learning_rate")
        #expect(error.code == .notFinite)
        #expect(error.code.rawValue == "notFinite")
        #expect(error.message == "loss is nan at step 12")
        #expect(error.fix == "lower learning_rate")
        #expect(error.cause == nil)
    }
}
