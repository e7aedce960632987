import ForjaCore
import Foundation
import Synchronization

/// When what ran, for Chrome's and Perfetto's trace viewers: one process a rank, one thread a lane.
///
/// Operations of the host are timed as they run. An OpenCL device is waited for after each operation while a trace is
/// taken, so that its times are real too: such a run is slower, and hides less behind one another than one without.
///
/// Format: the JSON array form of the Trace Event Format, complete events ("X") with microseconds.
public final class Trace: Sendable {
    /// What a rank does side by side.
    public enum Lane: Int, Sendable {
        case compute = 0
        case communication = 1

        var name: String { self == .compute ? "compute" : "communication" }
    }

    private struct Event {
        let name: String
        let category: String
        let rank: Int
        let lane: Lane
        let start: UInt64
        let end: UInt64
    }

    private let events = Mutex<[Event]>([])
    private let origin = Trace.now

    public init() {}

    /// Nanoseconds of a clock that never goes back.
    static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// Where one rank writes.
    public struct Recorder: Sendable {
        let trace: Trace
        let rank: Int

        func add(_ name: String, _ category: String, lane: Lane, since start: UInt64) {
            let event = Event(
                name: name, category: category, rank: rank, lane: lane, start: start,
                end: Trace.now)
            trace.events.withLock { $0.append(event) }
        }

        /// Times `body`.
        package func record<Result>(
            _ name: String, _ category: String, lane: Lane = .compute,
            _ body: () throws(ForjaError) -> Result
        ) throws(ForjaError) -> Result {
            let start = Trace.now
            defer { add(name, category, lane: lane, since: start) }
            return try body()
        }
    }

    public func recorder(rank: Int) -> Recorder { Recorder(trace: self, rank: rank) }

    /// The trace as JSON.
    public var json: String {
        let events = events.withLock { $0 }
        var lines: [String] = []
        for rank in Set(events.map(\.rank)).sorted() {
            lines.append(
                #"{"ph":"M","name":"process_name","pid":\#(rank),"args":{"name":"rank \#(rank)"}}"#)
            for lane in [Lane.compute, .communication] {
                lines.append(
                    #"{"ph":"M","name":"thread_name","pid":\#(rank),"tid":\#(lane.rawValue),"#
                        + #""args":{"name":"\#(lane.name)"}}"#)
            }
        }
        let microseconds = { (start: UInt64, end: UInt64) in
            String(format: "%.3f", Double(end - start) / 1000)
        }
        for event in events {
            // Names are the program's own: operations and parameters, without quotes.
            lines.append(
                #"{"ph":"X","name":"\#(event.name)","cat":"\#(event.category)","#
                    + #""pid":\#(event.rank),"tid":\#(event.lane.rawValue),"#
                    + #""ts":\#(microseconds(origin, event.start)),"#
                    + #""dur":\#(microseconds(event.start, event.end))}"#)
        }
        return "[\n" + lines.joined(separator: ",\n") + "\n]\n"
    }
}
