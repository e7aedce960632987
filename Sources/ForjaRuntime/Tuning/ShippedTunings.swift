import Foundation

/// Tunings of known devices, as `forja tune` measured them. Nothing here is a guess: an entry comes
/// from a run on that device.
enum ShippedTunings {
    /// The tuning of a device of this name and platform; drivers may differ, since a tuning changes
    /// no bits and the engine passes over what it does not have.
    static func tuning(for device: Device.Description) -> Tuning {
        files.first { $0.device == device.name && $0.platform == device.platform }?.tuning
            ?? Tuning()
    }

    private static let files: [TuningStore.File] = {
        do {
            return try JSONDecoder().decode([TuningStore.File].self, from: Data(text.utf8))
        } catch {
            preconditionFailure("the shipped tunings are not JSON: \(error)")
        }
    }()

    private static let text = """
        []
        """
}
