import CForja
import Foundation
import Testing

/// Keeps a machine that should test OpenCL from passing without it.
extension OperationTests {
    @Suite(
        "OpenCL presence",
        .enabled(
            if: ProcessInfo.processInfo.environment["FORJA_TEST_REQUIRE_OPENCL"] == "1",
            "FORJA_TEST_REQUIRE_OPENCL=1 insists on OpenCL"))
    struct OpenCLPresenceTests {
        @Test("finds a device")
        func findsDevice() {
            #expect(
                forja_opencl_device_count() > 0, "\(String(cString: forja_opencl_status()))")
        }

        @Test("builds kernels on every device", arguments: TestDevice.openCL)
        func buildsKernels(on choice: TestDevice.Choice) throws {
            let device = try choice.open()
            let bench = Workbench(on: device)
            let y = try bench.poisoned(3, as: .f32)
            var args = forja_add_args()
            args.dtype = FORJA_DTYPE_F32
            args.a = try bench.tensor([1, 2, 3], as: .f32).span
            args.b = try bench.tensor([10, 20, 30], as: .f32).span
            args.y = y.span
            args.count = 3
            try bench.run { forja_add($0, &args) }
            #expect(try y.values() == [11, 22, 33])
            #expect(forja_device_kernel_count(device.device) > 0)
        }
    }
}
