import Testing

/// Expects every number within `tolerance` of the float64 one, plus one rounding to `storage`.
///
/// - Parameters:
///   - want: The float64 reference.
///   - magnitudes: Size of what each element was added up from; one entry stands for all.
func expectClose(
    _ got: [Double], _ want: [Double], within tolerance: Double, ofMagnitude magnitudes: [Double],
    as storage: Storage = .f32, _ label: String = "element",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard got.count == want.count else {
        Issue.record("\(got.count) elements, not \(want.count)", sourceLocation: sourceLocation)
        return
    }
    var failures = 0
    var worst = (excess: 0.0, text: "")
    for index in got.indices where got[index] != want[index] {
        let magnitude = magnitudes.count == 1 ? magnitudes[0] : magnitudes[index]
        let bound =
            tolerance * magnitude + storage.unitRoundoff * want[index].magnitude
            + storage.smallestRoundoff
        let error = (got[index] - want[index]).magnitude
        // Written so that NaN, which compares false with everything, fails.
        if error <= bound { continue }
        failures += 1
        let excess = error.isNaN ? .infinity : error / bound
        if excess > worst.excess {
            worst = (
                excess, "\(label)[\(index)] is \(got[index]), not \(want[index]) ± \(bound)"
            )
        }
    }
    if failures > 0 {
        Issue.record(
            "\(failures) of \(got.count) are off; the worst: \(worst.text)",
            sourceLocation: sourceLocation)
    }
}

/// As above, with each number's own size as the size of its terms.
func expectClose(
    _ got: [Double], _ want: [Double], within tolerance: Double, as storage: Storage = .f32,
    _ label: String = "element", sourceLocation: SourceLocation = #_sourceLocation
) {
    expectClose(
        got, want, within: tolerance, ofMagnitude: want.map(\.magnitude), as: storage, label,
        sourceLocation: sourceLocation)
}

/// Expects equal numbers, signs of zero included; any NaN stands for any other.
///
/// Not `#expect(got == want)`, which takes minutes to describe how two long arrays differ.
func expectSame(
    _ got: [Double], _ want: [Double], sourceLocation: SourceLocation = #_sourceLocation
) {
    guard got.count == want.count else {
        Issue.record("\(got.count) elements, not \(want.count)", sourceLocation: sourceLocation)
        return
    }
    let wrong = got.indices.filter { index in
        let (a, b) = (got[index], want[index])
        return a.isNaN ? !b.isNaN : a != b || a.sign != b.sign
    }
    guard let first = wrong.first else { return }
    Issue.record(
        "\(wrong.count) of \(got.count) differ; element \(first) is \(got[first]), not \(want[first])",
        sourceLocation: sourceLocation)
}

extension Array where Element == Double {
    /// The largest absolute value; 0 when empty.
    var largestMagnitude: Double { reduce(0) { Swift.max($0, $1.magnitude) } }
}

extension Sequence where Element == Double {
    var areAllNaN: Bool { allSatisfy { $0.isNaN } }
}
