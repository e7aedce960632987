import CForja
import Testing

extension OperationTests {
    @Suite("Buffers and queues")
    struct BufferTests {
        @Test("reads back what was written", arguments: TestDevice.all)
        func readsBack(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let values = (0..<1025).map(Float.init)
            #expect(try device.buffer(values).read() == values)
        }

        @Test("refuses a range past the end and copies nothing", arguments: TestDevice.all)
        func refusesRangePastEnd(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let content = [UInt8](0..<64)
            let buffer = try device.buffer(content, guardBytes: 0)
            let other = try device.buffer(content, guardBytes: 0)
            let source = [UInt8](repeating: 0xEE, count: 128)
            var destination = [UInt8](repeating: 0xDD, count: 128)
            for (offset, size) in [(0, 65), (64, 1), (60, 5), (UInt64.max, 1), (1, UInt64.max)] {
                let queue = device.queue
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE,
                    forja_buffer_write(queue, buffer.handle, offset, source, size),
                    saying: "which holds 64")
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE,
                    forja_buffer_read(queue, &destination, buffer.handle, offset, size))
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE,
                    forja_buffer_fill(queue, buffer.handle, offset, size, 1))
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE,
                    forja_buffer_copy(queue, buffer.handle, offset, other.handle, 0, size))
                expectFailure(
                    FORJA_ERROR_OUT_OF_RANGE,
                    forja_buffer_copy(queue, other.handle, 0, buffer.handle, offset, size))
            }
            #expect(try buffer.read() == content)
            #expect(try other.read() == content)
            #expect(destination.allSatisfy { $0 == 0xDD })
        }

        @Test("takes an empty range anywhere up to the end", arguments: TestDevice.all)
        func takesEmptyRange(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let buffer = try device.buffer([1, 2, 3] as [UInt8], guardBytes: 0)
            for offset: UInt64 in [0, 3] {
                expectOK(forja_buffer_write(device.queue, buffer.handle, offset, nil, 0))
                expectOK(forja_buffer_read(device.queue, nil, buffer.handle, offset, 0))
                expectOK(forja_buffer_fill(device.queue, buffer.handle, offset, 0, 9))
                expectOK(
                    forja_buffer_copy(device.queue, buffer.handle, offset, buffer.handle, 0, 0))
            }
            #expect(try buffer.read() == [1, 2, 3])
        }

        @Test("fills and copies ranges alone", arguments: TestDevice.all)
        func fillsAndCopies(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let buffer = try device.buffer([UInt8](0..<10), guardBytes: 0)
            expectOK(forja_buffer_fill(device.queue, buffer.handle, 1, 3, 0xFF))
            expectOK(forja_buffer_copy(device.queue, buffer.handle, 6, buffer.handle, 0, 3))
            #expect(try buffer.read() == [0, 255, 255, 255, 4, 5, 0, 255, 255, 9])
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT,
                forja_buffer_copy(device.queue, buffer.handle, 2, buffer.handle, 0, 3),
                saying: "overlap")
            #expect(try buffer.read() == [0, 255, 255, 255, 4, 5, 0, 255, 255, 9])
        }

        @Test("refuses null arguments", arguments: TestDevice.all)
        func refusesNull(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let buffer = try device.buffer([1] as [Float])
            var out: OpaquePointer?
            var byte: UInt8 = 0
            let refused = FORJA_ERROR_INVALID_ARGUMENT
            expectFailure(refused, forja_buffer_create(nil, device.device, 1))
            expectFailure(refused, forja_buffer_create(&out, nil, 1))
            expectFailure(refused, forja_buffer_create(&out, device.device, 0), saying: "1 byte")
            expectFailure(refused, forja_buffer_write(nil, buffer.handle, 0, &byte, 1))
            expectFailure(refused, forja_buffer_write(device.queue, nil, 0, &byte, 1))
            expectFailure(refused, forja_buffer_write(device.queue, buffer.handle, 0, nil, 1))
            expectFailure(refused, forja_buffer_read(device.queue, nil, buffer.handle, 0, 1))
            expectFailure(
                refused, forja_buffer_copy(device.queue, buffer.handle, 0, nil, 0, 1),
                saying: "source is NULL")
            expectFailure(refused, forja_buffer_fill(device.queue, nil, 0, 1, 0))
        }

        @Test("refuses a buffer of another device", arguments: TestDevice.all)
        func refusesForeignBuffer(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let buffer = try device.buffer([7] as [UInt8], guardBytes: 0)
            let stranger = try TestDevice.host.open()
            var byte: UInt8 = 3
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT,
                forja_buffer_write(stranger.queue, buffer.handle, 0, &byte, 1),
                saying: "another device")
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT,
                forja_buffer_read(stranger.queue, &byte, buffer.handle, 0, 1))
            #expect(try buffer.read() == [7])
            #expect(byte == 3)
        }

        @Test(
            "gives the bytes of host buffers, aligned, and of no others", arguments: TestDevice.all)
        func givesHostPointer(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            for size: UInt64 in [1, 63, 4097, 5 << 20] {
                var buffer: OpaquePointer?
                try requireOK(forja_buffer_create(&buffer, device.device, size))
                #expect(forja_buffer_get_size(buffer) == size)
                let pointer = forja_buffer_get_host_pointer(buffer)
                #expect((pointer != nil) == choice.isHost)
                #expect(Int(bitPattern: pointer) % 64 == 0)
                forja_buffer_free(buffer)
            }
        }

        @Test("counts what is allocated and the most that was", arguments: TestDevice.all)
        func countsAllocation(choice: TestDevice.Choice) throws {
            let device = try choice.openAlone()
            var buffers: [OpaquePointer?] = [nil, nil]
            try requireOK(forja_buffer_create(&buffers[0], device.device, 1000))
            try requireOK(forja_buffer_create(&buffers[1], device.device, 24))
            #expect(forja_device_allocated_bytes(device.device) == 1024)
            forja_buffer_free(buffers[0])
            #expect(forja_device_allocated_bytes(device.device) == 24)
            forja_buffer_free(buffers[1])
            #expect(forja_device_allocated_bytes(device.device) == 0)
            #expect(forja_device_peak_allocated_bytes(device.device) == 1024)
        }

        @Test("refuses more than the device has, naming both", arguments: TestDevice.all)
        func refusesTooMuch(choice: TestDevice.Choice) throws {
            let device = try choice.open()
            for size: UInt64 in [1 << 50, .max] {
                var buffer: OpaquePointer?
                expectFailure(
                    FORJA_ERROR_OUT_OF_MEMORY, forja_buffer_create(&buffer, device.device, size),
                    saying: "a buffer of \(size) bytes")
                #expect(buffer == nil)
                expectFailure(
                    FORJA_ERROR_OUT_OF_MEMORY, forja_queue_reserve_workspace(device.queue, size))
            }
        }

        @Test("grows a workspace, never shrinks it, and frees it", arguments: TestDevice.all)
        func growsWorkspace(choice: TestDevice.Choice) throws {
            let device = try choice.openAlone()
            var queue: OpaquePointer?
            try requireOK(forja_queue_create(&queue, device.device))
            expectOK(forja_queue_reserve_workspace(queue, 0))
            #expect(forja_device_allocated_bytes(device.device) == 0)
            expectOK(forja_queue_reserve_workspace(queue, 100_000))
            let held = forja_device_allocated_bytes(device.device)
            #expect(held >= 100_000)
            expectOK(forja_queue_reserve_workspace(queue, 10))
            #expect(forja_device_allocated_bytes(device.device) == held)
            expectOK(forja_queue_reserve_workspace(queue, 1 << 20))
            #expect(forja_device_peak_allocated_bytes(device.device) == 1 << 20)
            expectOK(forja_queue_finish(queue))
            forja_queue_free(queue)
            #expect(forja_device_allocated_bytes(device.device) == 0)
        }
    }
}
