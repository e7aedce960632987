import CForja
import ForjaCore

/// A point in a queue's work that another thread can wait for.
package final class Event: @unchecked Sendable {
    private let handle: OpaquePointer
    /// The queue must outlive its events.
    private let queue: Queue

    /// Marks what was queued so far, and hands it to the device without waiting.
    package init(_ queue: Queue) throws(ForjaError) {
        self.queue = queue
        var handle: OpaquePointer?
        try engineCheck(forja_queue_record(&handle, queue.handle))
        self.handle = handle!
    }

    deinit { forja_event_free(handle) }

    package func wait() throws(ForjaError) { try engineCheck(forja_event_wait(handle)) }
}
