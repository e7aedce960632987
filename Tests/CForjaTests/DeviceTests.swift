import CForja
import Foundation
import Testing

extension OperationTests {
    /// Tests that set the environment run in a process of their own: the loader is opened once.
    @Suite("Devices")
    struct DeviceTests {
        @Test("says why there is no OpenCL where the loader is missing")
        func explainsMissingLoader() async {
            await #expect(processExitsWith: .success) {
                setenv("FORJA_OPENCL_LIBRARY", "libno-such-loader.so.1", 1)
                #expect(forja_opencl_device_count() == 0)
                let status = String(cString: forja_opencl_status())
                #expect(status.hasPrefix("libno-such-loader.so.1 could not be opened"))
                var device: OpaquePointer?
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE, forja_device_open_opencl(&device, 0),
                    saying: "libno-such-loader.so.1 could not be opened")
                #expect(device == nil)
                expectOK(forja_device_open_host(&device, 1))
                forja_device_free(device)
            }
        }

        @Test("says what a library lacks that is no OpenCL loader")
        func explainsWrongLibrary() async {
            await #expect(processExitsWith: .success) {
                setenv("FORJA_OPENCL_LIBRARY", "libc.so.6", 1)
                #expect(forja_opencl_device_count() == 0)
                #expect(
                    String(cString: forja_opencl_status()).hasPrefix(
                        "libc.so.6 has no clGetPlatformIDs"))
            }
        }

        @Test(
            "says that there is no platform where no driver is installed",
            .enabled(if: TestDevice.hasOpenCL, TestDevice.openCLReason))
        func explainsMissingDriver() async {
            await #expect(processExitsWith: .success) {
                let empty = try temporaryDirectory()
                setenv("OCL_ICD_VENDORS", empty, 1)
                unsetenv("OCL_ICD_FILENAMES")
                #expect(forja_opencl_device_count() == 0)
                #expect(
                    String(cString: forja_opencl_status()).hasPrefix("no OpenCL platform"),
                    "\(String(cString: forja_opencl_status()))")
            }
        }

        @Test("refuses an index past the end")
        func refusesIndexPastEnd() {
            let count = forja_opencl_device_count()
            var info = forja_device_info()
            var device: OpaquePointer?
            for index in [count, Int.max] {
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE, forja_opencl_device_query(&info, index),
                    saying: "there is no OpenCL device \(index)")
                expectFailure(FORJA_ERROR_OUT_OF_RANGE, forja_device_open_opencl(&device, index))
                #expect(device == nil)
            }
        }

        @Test("refuses null arguments and frees null")
        func refusesNull() {
            var info = forja_device_info()
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_device_open_host(nil, 1))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_device_open_opencl(nil, 0))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_opencl_device_query(nil, 0))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_device_get_info(&info, nil))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_queue_create(nil, nil))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_queue_finish(nil))
            expectFailure(FORJA_ERROR_INVALID_ARGUMENT, forja_host_measure_peak(nil, 1))
            #expect(forja_device_allocated_bytes(nil) == 0)
            #expect(counters(of: nil).operations == 0)
            forja_device_free(nil)
            forja_queue_free(nil)
            forja_buffer_free(nil)
        }

        @Test("describes an open device", arguments: TestDevice.all)
        func describesDevice(choice: TestDevice.Choice) throws {
            let device = try choice.open(threadCount: 3)
            var info = forja_device_info()
            expectOK(forja_device_get_info(&info, device.device))
            #expect(info.memory_bytes > 0)
            #expect(info.max_allocation_bytes > 0)
            #expect(info.max_allocation_bytes <= info.memory_bytes)
            #expect(info.compute_units > 0)
            #expect(info.thread_count == (choice.isHost ? 3 : info.compute_units))
            #expect((info.kind == FORJA_DEVICE_HOST) == choice.isHost)
            #expect(info.name.0 != 0 && info.platform.0 != 0 && info.driver.0 != 0)
        }

        @Test("takes every core of the affinity mask for 0 threads, and no absurd number")
        func choosesThreads() throws {
            var device: OpaquePointer?
            try requireOK(forja_device_open_host(&device, 0))
            var info = forja_device_info()
            expectOK(forja_device_get_info(&info, device))
            #expect(info.thread_count == info.compute_units)
            forja_device_free(device)
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT, forja_device_open_host(&device, .max),
                saying: "thread count 4294967295")
        }

        @Test("measures the host's peak")
        func measuresPeak() {
            var flopsPerSecond = 0.0
            expectOK(forja_host_measure_peak(&flopsPerSecond, 1))
            #expect(flopsPerSecond > 0)
        }

        @Test("refuses a memory limit that is not a size", arguments: ["4X", "lots", "-1", "0"])
        func refusesMalformedLimit(text: String) async {
            await #expect(processExitsWith: .success) { [text] in
                setenv("FORJA_MEMORY_LIMIT", text, 1)
                var device: OpaquePointer?
                expectFailure(
                    FORJA_ERROR_INVALID_ARGUMENT, forja_device_open_host(&device, 1),
                    saying: "FORJA_MEMORY_LIMIT is \"\(text)\"")
            }
        }

        @Test("takes the memory limit for every device that uses the host's memory")
        func takesMemoryLimit() async {
            await #expect(processExitsWith: .success) {
                setenv("FORJA_MEMORY_LIMIT", "3M", 1)
                for choice in TestDevice.all {
                    let device = try choice.open()
                    var info = forja_device_info()
                    expectOK(forja_device_get_info(&info, device.device))
                    guard info.shares_host_memory else { continue }
                    #expect(info.memory_bytes == 3 << 20)
                    var first: OpaquePointer?
                    var second: OpaquePointer?
                    try requireOK(forja_buffer_create(&first, device.device, 2 << 20))
                    expectFailure(
                        FORJA_ERROR_OUT_OF_MEMORY,
                        forja_buffer_create(&second, device.device, (1 << 20) + 1),
                        saying: "2097152 bytes are in use and the limit is 3145728 bytes")
                    #expect(second == nil)
                    #expect(forja_device_allocated_bytes(device.device) == 2 << 20)
                    expectOK(forja_buffer_create(&second, device.device, 1 << 20))
                    forja_buffer_free(first)
                    forja_buffer_free(second)
                }
            }
        }

        @Test("counts two devices that use the host's memory together")
        func countsSharedMemoryOnce() async {
            await #expect(processExitsWith: .success) {
                setenv("FORJA_MEMORY_LIMIT", "3072K", 1)
                let one = try TestDevice.host.open()
                let other = try TestDevice.host.open()
                var first: OpaquePointer?
                var second: OpaquePointer?
                try requireOK(forja_buffer_create(&first, one.device, 2 << 20))
                expectFailure(
                    FORJA_ERROR_OUT_OF_MEMORY, forja_buffer_create(&second, other.device, 2 << 20))
                forja_buffer_free(first)
                expectOK(forja_buffer_create(&second, other.device, 2 << 20))
                forja_buffer_free(second)
            }
        }

        @Test("names every kernel file in one hash")
        func hashesKernels() {
            let hash = String(cString: forja_kernels_hash())
            #expect(hash.count == 64)
            #expect(hash.allSatisfy { "0123456789abcdef".contains($0) })
            #expect(!String(cString: forja_blas_description()).isEmpty)
        }
    }
}

/// A new empty directory; the system clears it away.
func temporaryDirectory() throws -> String {
    let directory = FileManager.default.temporaryDirectory
        .appendingPathComponent("forja-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    return directory.path
}
