import CForja
import ForjaCore

/// Turns a status of the C engine and the thread's message into a `ForjaError`.
///
/// Call it on the thread that made the failing call: the message is thread-local.
func engineCheck(_ status: forja_status) throws(ForjaError) {
    guard status != FORJA_OK else { return }
    let message = String(cString: forja_last_error())
    switch status {
    case FORJA_ERROR_OUT_OF_MEMORY:
        throw ForjaError(
            .outOfMemory, message,
            fix: "free memory there, or use a smaller model or another device")
    case FORJA_ERROR_UNAVAILABLE:
        throw ForjaError(.unavailable, message)
    case FORJA_ERROR_DEVICE, FORJA_ERROR_COMPILE:
        throw ForjaError(.device, message)
    default:
        throw ForjaError(.invalidInput, message)
    }
}

/// Runs `body`; an error it throws begins with what was being done.
func during<Result>(
    _ name: String, _ body: () throws(ForjaError) -> Result
) throws(ForjaError) -> Result {
    do throws(ForjaError) {
        return try body()
    } catch {
        var named = error
        named.message = "\(name): \(error.message)"
        throw named
    }
}

extension DType {
    /// The engine's enumerator.
    var engine: forja_dtype {
        switch self {
        case .float32: FORJA_DTYPE_F32
        case .bfloat16: FORJA_DTYPE_BF16
        case .float16: FORJA_DTYPE_F16
        case .int32: FORJA_DTYPE_I32
        }
    }
}
