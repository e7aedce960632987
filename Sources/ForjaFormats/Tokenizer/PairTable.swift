/// A value for pairs of token ids: open addressing with linear probing, 16 bytes a slot, so that a
/// lookup touches one cache line.
struct PairTable: Sendable {
    private struct Slot: Sendable {
        var key: UInt64
        var value: UInt64
    }

    private var slots: [Slot]
    private(set) var count = 0

    /// No pair of ids, which are below 2^31, has this key.
    private static let empty = UInt64.max

    init(minimumCapacity: Int = 16) {
        var size = 32
        while size * 3 < minimumCapacity * 4 { size *= 2 }
        slots = Array(repeating: Slot(key: Self.empty, value: 0), count: size)
    }

    /// Orders pairs by left id, then by right id.
    @inline(__always)
    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The ids of a key.
    static func ids(_ key: UInt64) -> (left: Int32, right: Int32) {
        (Int32(truncatingIfNeeded: key >> 32), Int32(truncatingIfNeeded: key))
    }

    @inline(__always)
    subscript(key: UInt64) -> UInt64? {
        get {
            let slot = slots[find(key)]
            return slot.key == key ? slot.value : nil
        }
        set {
            guard let newValue else { preconditionFailure("pairs are never removed") }
            let index = find(key)
            if slots[index].key == key {
                slots[index].value = newValue
                return
            }
            slots[index] = Slot(key: key, value: newValue)
            count += 1
            if count * 4 > slots.count * 3 { grow() }
        }
    }

    @inline(__always)
    private func find(_ key: UInt64) -> Int {
        let mask = slots.count - 1
        let hash = key &* 0x9E37_79B9_7F4A_7C15
        var index = Int(truncatingIfNeeded: hash ^ hash >> 32) & mask
        while slots[index].key != key, slots[index].key != Self.empty {
            index = (index + 1) & mask
        }
        return index
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: Slot(key: Self.empty, value: 0), count: old.count * 2)
        for slot in old where slot.key != Self.empty { slots[find(slot.key)] = slot }
    }
}
