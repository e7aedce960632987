import CForja
import Testing

extension OperationTests {
    @Suite("Staging")
    struct StagingTests {
        /// Staging of a device opened for the test alone.
        private func withStaging(
            _ size: Int, on device: TestDevice,
            _ body: (UnsafeMutableRawBufferPointer) throws -> Void
        ) throws {
            var staging: OpaquePointer?
            try requireOK(forja_staging_create(&staging, device.device, UInt64(size)))
            defer { forja_staging_free(staging) }
            #expect(forja_staging_get_size(staging) == UInt64(size))
            let start = try #require(forja_staging_get_pointer(staging))
            #expect(Int(bitPattern: start) % 64 == 0)
            try body(UnsafeMutableRawBufferPointer(start: start, count: size))
        }

        @Test(
            "bytes go to a device and come back", arguments: TestDevice.all, [1, 63, 4097, 5 << 20])
        func copiesBothWays(choice: TestDevice.Choice, size: Int) throws {
            let device = try choice.open()
            let values = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            let buffer = try device.buffer([UInt8](repeating: 0, count: size))
            try withStaging(size, on: device) { bytes in
                for round in 0..<2 {
                    bytes.copyBytes(from: values.map { $0 ^ UInt8(round) })
                    try requireOK(
                        forja_buffer_write(
                            device.queue, buffer.handle, buffer.span.offset, bytes.baseAddress,
                            UInt64(size)))
                    #expect(try buffer.read() == values.map { $0 ^ UInt8(round) })
                    bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
                    // All but the first byte.
                    try requireOK(
                        forja_buffer_read(
                            device.queue, bytes.baseAddress! + 1, buffer.handle,
                            buffer.span.offset + 1, UInt64(size - 1)))
                    #expect(bytes[0] == 0xEE)
                    #expect(
                        bytes.dropFirst().elementsEqual(
                            values.dropFirst().map { $0 ^ UInt8(round) }))
                }
            }
        }

        @Test("a device copies from the staging of another", arguments: TestDevice.all)
        func servesOtherDevices(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let other = try TestDevice.host.open()
            let buffer = try other.buffer([0, 0, 0] as [UInt8], guardBytes: 0)
            try withStaging(3, on: device) { bytes in
                bytes.copyBytes(from: [7, 8, 9])
                try requireOK(
                    forja_buffer_write(other.queue, buffer.handle, 0, bytes.baseAddress, 3))
            }
            #expect(try buffer.read() == [7, 8, 9])
        }

        @Test("refuses null arguments and what the host cannot hold", arguments: TestDevice.all)
        func refusesBadArguments(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            var staging: OpaquePointer?
            let refused = FORJA_ERROR_INVALID_ARGUMENT
            expectFailure(
                refused, forja_staging_create(nil, device.device, 1), saying: "out is NULL")
            expectFailure(
                refused, forja_staging_create(&staging, nil, 1), saying: "device is NULL")
            expectFailure(
                refused, forja_staging_create(&staging, device.device, 0), saying: "1 byte")
            for size: UInt64 in [1 << 50, .max] {
                expectFailure(
                    FORJA_ERROR_OUT_OF_MEMORY,
                    forja_staging_create(&staging, device.device, size), saying: "\(size) bytes")
                #expect(staging == nil)
            }
            #expect(forja_staging_get_size(nil) == 0)
            #expect(forja_staging_get_pointer(nil) == nil)
            forja_staging_free(nil)
        }

        @Test("counts as memory where the device shares the host's", arguments: TestDevice.all)
        func isCounted(choice: TestDevice.Choice) throws {
            let device = try choice.openAlone()
            var info = forja_device_info()
            try requireOK(forja_device_get_info(&info, device.device))
            try withStaging(1000, on: device) { _ in
                #expect(
                    forja_device_allocated_bytes(device.device)
                        == (info.shares_host_memory ? 1000 : 0))
            }
            #expect(forja_device_allocated_bytes(device.device) == 0)
        }
    }
}
