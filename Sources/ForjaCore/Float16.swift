/// IEEE binary16 nearest to a float32, ties to even; beyond 65504 an infinity. `Float16` is missing from Swift on some
/// platforms.
package func float16Bits(_ value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: (value.bitPattern >> 16) & 0x8000)
    let magnitude = value.bitPattern & 0x7fff_ffff
    if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
    // 65520 is halfway between the largest number and what would come next.
    if magnitude >= 0x477f_f000 { return sign | 0x7c00 }
    guard magnitude >= 0x3880_0000 else {
        // Below 2^-14 the spacing is 2^-24: adding 2^-1 leaves the multiple of it in the low bits, rounded.
        let sum = Float(bitPattern: magnitude) + 0.5
        return sign | UInt16(truncatingIfNeeded: sum.bitPattern &- Float(0.5).bitPattern)
    }
    let rounded = magnitude &+ 0xfff &+ ((magnitude >> 13) & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded &- 0x3800_0000) >> 13)
}

/// The value of an IEEE binary16.
package func float16Value(_ bits: UInt16) -> Float {
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10) & 0x1f
    let fraction = Float(bits & 0x3ff)
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default:
        return sign * (1 + fraction * 0x1p-10)
            * Float(sign: .plus, exponent: exponent - 15, significand: 1)
    }
}
