import CForja
import Foundation
import Testing

extension OperationTests {
    /// How a call finds its row of the table of variants.
    @Suite("Variants")
    struct VariantTests {
        @Test("are one on the host")
        func areOneOnHost() throws {
            let host = try TestDevice.host.open()
            var args = matmulArgs(FORJA_MATMUL_NT, m: 3, n: 4, k: 5)
            let found = try Variant.list(FORJA_OP_MATMUL, on: host.device, &args)
            #expect(found.map(\.identifier) == ["host"])
            #expect(try Variant.chosen(FORJA_OP_MATMUL, on: host.device, &args) == found[0])
            expectOK(forja_device_force_variant(host.device, FORJA_OP_MATMUL, "gpu"))
        }

        @Test("name one default for every shape", arguments: TestDevice.openCL)
        func nameOneDefault(choice: TestDevice.Choice) throws {
            let device = try choice.open().device
            for layout in [FORJA_MATMUL_NN, FORJA_MATMUL_NT, FORJA_MATMUL_TN] {
                for (m, n, k) in [(1, 1, 1), (1, 4096, 4096), (7, 3, 9), (512, 512, 8192)] {
                    var args = matmulArgs(layout, m: m, n: n, k: k)
                    let found = try Variant.list(FORJA_OP_MATMUL, on: device, &args)
                    #expect(found.count { $0.isDefault } == 1)
                    #expect(Set(found.map(\.identifier)).count == found.count)
                    #expect(found.last?.identifier == "ref")
                    let chosen = try Variant.chosen(FORJA_OP_MATMUL, on: device, &args)
                    #expect(chosen.isDefault)
                }
            }
        }

        @Test("are forced by name, or name and tiles", arguments: TestDevice.openCL)
        func areForced(choice: TestDevice.Choice) throws {
            let opened = try choice.openAlone()
            defer { withExtendedLifetime(opened) {} }
            let device = opened.device
            var args = matmulArgs(FORJA_MATMUL_NT, m: 512, n: 512, k: 64)
            func chosen() throws -> String {
                try Variant.chosen(FORJA_OP_MATMUL, on: device, &args).identifier
            }
            let preferred = try chosen()
            expectOK(forja_device_force_variant(device, FORJA_OP_MATMUL, "ref"))
            #expect(try chosen() == "ref")
            expectOK(forja_device_force_variant(device, FORJA_OP_MATMUL, "gpu:64x64x16"))
            #expect(try chosen() == "gpu:64x64x16")
            setenv("FORJA_MATMUL_VARIANT", "ref", 1)
            #expect(try chosen() == "ref", "the environment goes first")
            unsetenv("FORJA_MATMUL_VARIANT")
            expectOK(forja_device_force_variant(device, FORJA_OP_MATMUL, "cpu:columns"))
            #expect(try chosen() == preferred, "it cannot run B[N,K]")
            expectOK(forja_device_force_variant(device, FORJA_OP_MATMUL, nil))
            #expect(try chosen() == preferred)
        }

        @Test("that do not exist are refused", arguments: TestDevice.openCL)
        func unknownAreRefused(choice: TestDevice.Choice) throws {
            let opened = try choice.openAlone()
            defer { withExtendedLifetime(opened) {} }
            let device = opened.device
            for name in ["gpus", "gpu:1x1x1", "gp", "gpu:"] {
                expectFailure(
                    FORJA_ERROR_INVALID_ARGUMENT,
                    forja_device_force_variant(device, FORJA_OP_MATMUL, name),
                    saying: "\"\(name)\", which is no variant")
            }
            setenv("FORJA_MATMUL_VARIANT", "fastest", 1)
            defer { unsetenv("FORJA_MATMUL_VARIANT") }
            var args = matmulArgs(FORJA_MATMUL_NT, m: 5, n: 6, k: 7)
            var found = forja_variant()
            expectFailure(
                FORJA_ERROR_INVALID_ARGUMENT,
                forja_variant_query(&found, device, FORJA_OP_MATMUL, &args),
                saying: "FORJA_MATMUL_VARIANT is \"fastest\"")
        }

        @Test("follow a tuning for its class of shapes", arguments: TestDevice.openCL)
        func followTuning(choice: TestDevice.Choice) throws {
            let opened = try choice.openAlone()
            defer { withExtendedLifetime(opened) {} }
            let device = opened.device
            var tuned = matmulArgs(FORJA_MATMUL_NT, m: 500, n: 500, k: 60)
            var similar = matmulArgs(FORJA_MATMUL_NT, m: 257, n: 1024, k: 64)
            var other = matmulArgs(FORJA_MATMUL_TN, m: 500, n: 500, k: 60)
            let preferred = try Variant.chosen(FORJA_OP_MATMUL, on: device, &other)
            try setTuning(on: device, [(shapeClass(&tuned), "gpu:32x32x32")])
            for args in [tuned, similar] {
                var args = args
                let chosen = try Variant.chosen(FORJA_OP_MATMUL, on: device, &args)
                #expect(chosen.identifier == "gpu:32x32x32")
            }
            #expect(try Variant.chosen(FORJA_OP_MATMUL, on: device, &other) == preferred)
            #expect(try shapeClass(&similar) == shapeClass(&tuned))

            // A row that adds in another order would change bits; a tuning never does.
            var thin = matmulArgs(FORJA_MATMUL_NT, m: 40, n: 500, k: 60)
            let usual = try Variant.chosen(FORJA_OP_MATMUL, on: device, &thin)
            try setTuning(on: device, [(shapeClass(&thin), "gpu:32x32x32")])
            #expect(try Variant.chosen(FORJA_OP_MATMUL, on: device, &thin).order == usual.order)

            // A tuning of another build or device may name what is not here.
            try setTuning(on: device, [(shapeClass(&tuned), "gone:1x2x3")])
            #expect(try Variant.chosen(FORJA_OP_MATMUL, on: device, &tuned).isDefault)
            try setTuning(on: device, [])
            #expect(try Variant.chosen(FORJA_OP_MATMUL, on: device, &tuned).isDefault)
        }

        @Test("of one shape class are named by layout, types and rounded sides")
        func classesHaveNames() throws {
            var args = matmulArgs(FORJA_MATMUL_TN, m: 1, n: 65, k: 64, .bf16)
            args.output_dtype = FORJA_DTYPE_F32
            #expect(try shapeClass(&args) == "tn bf16 f32 m1 n256 k64")
            args.m = .max
            args.batch_count = 2
            #expect(try shapeClass(&args).hasSuffix("n256 k64 batch"))
        }

        @Test("need arguments that are there")
        func needArguments() throws {
            let host = try TestDevice.host.open()
            var args = matmulArgs(FORJA_MATMUL_NT, m: 3, n: 4, k: 5)
            var count = 0
            var found = forja_variant()
            let text = UnsafeMutablePointer<CChar>.allocate(capacity: 96)
            defer { text.deallocate() }
            for status in [
                forja_variant_list(nil, nil, host.device, FORJA_OP_MATMUL, &args),
                forja_variant_list(nil, &count, nil, FORJA_OP_MATMUL, &args),
                forja_variant_list(nil, &count, host.device, FORJA_OP_MATMUL, nil),
                forja_variant_list(nil, &count, host.device, FORJA_OP_COUNT, &args),
                forja_variant_query(nil, host.device, FORJA_OP_MATMUL, &args),
                forja_device_force_variant(nil, FORJA_OP_MATMUL, "ref"),
                forja_device_set_tuning(host.device, nil, 1),
                forja_device_set_tuning(nil, nil, 0),
                forja_shape_class(text, FORJA_OP_COUNT, &args),
                forja_shape_class(nil, FORJA_OP_MATMUL, &args),
                forja_shape_class(text, FORJA_OP_MATMUL, nil),
            ] {
                #expect(status == FORJA_ERROR_INVALID_ARGUMENT)
            }
            expectOK(forja_variant_query(&found, host.device, FORJA_OP_ROWS, nil))
            #expect(forja_op_name(FORJA_OP_COUNT) == nil)
        }

        private func shapeClass(_ args: inout forja_matmul_args) throws -> String {
            var text = [CChar](repeating: 0, count: Int(FORJA_SHAPE_CLASS_SIZE))
            try requireOK(forja_shape_class(&text, FORJA_OP_MATMUL, &args))
            return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        }

        private func setTuning(
            on device: OpaquePointer, _ choices: [(shapeClass: String, variant: String)]
        ) throws {
            let texts = choices.map { (strdup($0.shapeClass), strdup($0.variant)) }
            defer {
                for (shapeClass, variant) in texts {
                    free(shapeClass)
                    free(variant)
                }
            }
            let entries = texts.map {
                forja_tuning_entry(op: FORJA_OP_MATMUL, shape_class: $0.0, variant: $0.1)
            }
            try requireOK(forja_device_set_tuning(device, entries, entries.count))
        }
    }
}
