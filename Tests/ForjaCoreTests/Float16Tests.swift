import ForjaCore
import Testing

#if !(os(macOS) && arch(x86_64))
    /// Against Swift's own Float16.
    @Suite("Float16")
    struct Float16Tests {
        @Test("every float16 has its value, and that value its bits")
        func values() {
            for bits in UInt16.min...UInt16.max {
                let expected = Float(Float16(bitPattern: bits))
                let seen = float16Value(bits)
                #expect(seen == expected || seen.isNaN && expected.isNaN)
                if !expected.isNaN { #expect(float16Bits(seen) == bits) }
            }
        }

        @Test("what lies between is rounded to nearest, ties to even")
        func rounding() {
            var failures: [Float] = []
            for bits in UInt16.min..<0x7c00 {
                let value = Float16(bitPattern: bits)
                let middle =
                    (Float(value) + Float(value.nextUp.isFinite ? value.nextUp : value)) / 2
                for candidate in [middle.nextDown, middle, middle.nextUp] {
                    for signed in [candidate, -candidate]
                    where float16Bits(signed) != Float16(signed).bitPattern {
                        failures.append(signed)
                    }
                }
            }
            for value in [65504, 65519.996, 65520, 1e6, Float.infinity, 1e-8, 0x1p-25, 0x1p-40] {
                if float16Bits(value) != Float16(value).bitPattern { failures.append(value) }
            }
            #expect(failures.isEmpty, "\(failures.prefix(5))")
            #expect(float16Value(float16Bits(.nan)).isNaN)
        }
    }
#endif
