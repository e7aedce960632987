import CForja
import ForjaCore

/// The host CPU or one OpenCL device, open for work.
///
/// A device may be shared between threads; each thread uses a `Queue` of its own.
public final class Device: @unchecked Sendable {
    /// What kind of processor a device is.
    public enum Kind: String, Sendable, Codable {
        /// The host CPU.
        case host = "cpu"
        case openCLGPU = "opencl-gpu"
        case openCLCPU = "opencl-cpu"
        case openCLAccelerator = "opencl-accelerator"
    }

    /// What is known of a device. `capabilities` is filled by probes once it is open.
    public struct Description: Sendable {
        public var name: String
        public var platform: String
        public var driver: String
        public var kind: Kind
        /// What may be allocated in all, after cgroup and `FORJA_MEMORY_LIMIT`.
        public var memoryBytes: Int
        public var maxAllocationBytes: Int
        public var computeUnits: Int
        public var threadCount: Int
        public var sharesHostMemory: Bool
        public var capabilities: [String]
    }

    let handle: OpaquePointer
    public let description: Description
    /// What `setTuning` gave; not to be set while another thread uses the device.
    public internal(set) var tuning = Tuning()
    /// Ranks that live in this device's memory, each with a device object of its own. Set right after opening.
    var memorySharerCount = 1
    /// What this object's buffers may take in all.
    package var memoryShare: Int { description.memoryBytes / memorySharerCount }
    /// Variants that a checkpoint made the device force, by operation.
    var restoredVariants: [String: String] = [:]

    /// Opens the host CPU.
    ///
    /// - Parameter threadCount: Threads that run operations; 0 takes every core in the affinity mask. Results never
    ///   depend on it.
    public static func host(threadCount: Int = 0) throws(ForjaError) -> Device {
        var handle: OpaquePointer?
        try engineCheck(forja_device_open_host(&handle, UInt32(clamping: threadCount)))
        return try Device(handle: handle!)
    }

    /// Opens OpenCL device `index`, counted as `openCLDevices()` lists.
    public static func openCL(_ index: Int) throws(ForjaError) -> Device {
        let devices = openCLDevices()
        guard devices.indices.contains(index) else {
            throw ForjaError(
                .invalidInput,
                "there is no OpenCL device \(index): \(openCLStatus)",
                fix: devices.isEmpty
                    ? "use --device cpu, or make a device visible (docs/devices.md)"
                    : "choose one of "
                        + devices.enumerated().map { "opencl:\($0) (\($1.name))" }
                        .joined(separator: ", "))
        }
        var handle: OpaquePointer?
        try engineCheck(forja_device_open_opencl(&handle, index))
        return try Device(handle: handle!)
    }

    /// Opens part `part` of `count` equal ones of OpenCL device `index`.
    ///
    /// - Throws: `.unavailable` when the device cannot be split so; GPUs usually cannot.
    static func openCL(_ index: Int, part: Int, of count: Int) throws(ForjaError) -> Device {
        var handle: OpaquePointer?
        try engineCheck(
            forja_device_open_opencl_part(&handle, index, UInt32(part), UInt32(count)))
        return try Device(handle: handle!)
    }

    /// Every OpenCL device on every platform, none of them opened; empty without loader, driver or device.
    public static func openCLDevices() -> [Description] {
        (0..<forja_opencl_device_count()).compactMap { index in
            var info = forja_device_info()
            guard forja_opencl_device_query(&info, index) == FORJA_OK else { return nil }
            return Description(info)
        }
    }

    /// One line saying what OpenCL devices were found, or why there are none.
    public static var openCLStatus: String { String(cString: forja_opencl_status()) }

    /// Version of the engine, which is the program's.
    public static var engineVersion: String { String(cString: forja_version()) }

    /// SHA-256 over the embedded kernel sources, and the BLAS library's own description.
    public static var kernelsHash: String { String(cString: forja_kernels_hash()) }
    public static var blasDescription: String { String(cString: forja_blas_description()) }

    /// Where what can be made again is kept, by `FORJA_CACHE_DIR`, `XDG_CACHE_HOME` or `HOME`; `nil`
    /// when none is set.
    package static var cacheDirectory: String? {
        var path = [CChar](repeating: 0, count: 4096)
        let length = forja_cache_directory(&path, path.count)
        guard length > 0 else { return nil }
        return String(decoding: path.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// FLOP/s of the best of six single-precision 1536³ BLAS products on `threadCount` threads.
    public static func measureHostPeak(threadCount: Int) throws(ForjaError) -> Double {
        var peak = 0.0
        try engineCheck(forja_host_measure_peak(&peak, UInt32(clamping: threadCount)))
        return peak
    }

    private init(handle: OpaquePointer) throws(ForjaError) {
        self.handle = handle
        var info = forja_device_info()
        do throws(ForjaError) {
            try engineCheck(forja_device_get_info(&info, handle))
        } catch {
            forja_device_free(handle)
            throw error
        }
        description = Description(info)
    }

    deinit { forja_device_free(handle) }

    /// Bytes in live buffers, workspaces included, now and at most so far.
    public var allocatedBytes: Int { Int(forja_device_allocated_bytes(handle)) }
    public var peakAllocatedBytes: Int { Int(forja_device_peak_allocated_bytes(handle)) }
    /// Kernels built or loaded so far; 0 on the host.
    public var kernelCount: Int { Int(forja_device_kernel_count(handle)) }
}

extension Device.Description {
    init(_ info: forja_device_info) {
        self.init(
            name: text(info.name), platform: text(info.platform), driver: text(info.driver),
            kind: Device.Kind(info.kind), memoryBytes: Int(clamping: info.memory_bytes),
            maxAllocationBytes: Int(clamping: info.max_allocation_bytes),
            computeUnits: Int(info.compute_units), threadCount: Int(info.thread_count),
            sharesHostMemory: info.shares_host_memory,
            capabilities: [
                info.has_fp16 ? "fp16" : nil, info.has_fp64 ? "fp64" : nil,
                info.has_subgroups ? "subgroups" : nil,
            ].compactMap { $0 })
    }
}

extension Device.Kind {
    init(_ kind: forja_device_kind) {
        switch kind {
        case FORJA_DEVICE_OPENCL_GPU: self = .openCLGPU
        case FORJA_DEVICE_OPENCL_CPU: self = .openCLCPU
        case FORJA_DEVICE_OPENCL_ACCELERATOR: self = .openCLAccelerator
        default: self = .host
        }
    }
}

/// A C character array, which Swift imports as a tuple, up to its terminator.
private func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}
