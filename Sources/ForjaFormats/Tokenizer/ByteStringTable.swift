/// Byte strings numbered 0, 1, 2 in the order of insertion and found by content.
///
/// The bytes lie end to end in one array: no allocation per string, and strings that Swift's
/// `String` holds equal (composed and decomposed "é") stay apart.
struct ByteStringTable: Sendable {
    private var bytes: [UInt8] = []
    /// Start of each string in `bytes`, and the end of the last.
    private var bounds: [Int] = [0]
    /// Open addressing with linear probing. A slot is 0 when empty, else the upper half of the
    /// string's hash above its number plus one.
    private var slots: [UInt64]

    init(minimumCapacity: Int = 16) {
        var size = 32
        while size < minimumCapacity * 2 { size *= 2 }
        slots = Array(repeating: 0, count: size)
    }

    var count: Int { bounds.count - 1 }
    /// Bytes of all strings together.
    var byteCount: Int { bytes.count }

    /// The string of a number.
    subscript(index: Int) -> ArraySlice<UInt8> { bytes[bounds[index]..<bounds[index + 1]] }

    /// The number of a string.
    func index(of key: UnsafeBufferPointer<UInt8>) -> Int? {
        let hash = Self.hash(key)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            if let index = match(slots[slot], hash, key) { return index }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// The number of a string, which is added when new.
    mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> (index: Int, isNew: Bool) {
        let hash = Self.hash(key)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            if let index = match(slots[slot], hash, key) { return (index, false) }
            slot = (slot + 1) & (slots.count - 1)
        }
        let index = count
        bytes.append(contentsOf: key)
        bounds.append(bytes.count)
        slots[slot] = Self.entry(hash, index)
        if bounds.count * 2 > slots.count { grow() }
        return (index, true)
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        bounds.removeAll(keepingCapacity: true)
        bounds.append(0)
        for slot in slots.indices { slots[slot] = 0 }
    }

    private static func entry(_ hash: UInt64, _ index: Int) -> UInt64 {
        hash & 0xFFFF_FFFF_0000_0000 | UInt64(UInt32(index + 1))
    }

    @inline(__always)
    private func match(
        _ entry: UInt64, _ hash: UInt64, _ key: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        guard (entry ^ hash) >> 32 == 0 else { return nil }
        let index = Int(entry & 0xFFFF_FFFF) - 1
        let start = bounds[index]
        guard bounds[index + 1] - start == key.count else { return nil }
        for offset in 0..<key.count where bytes[start + offset] != key[offset] { return nil }
        return index
    }

    private mutating func grow() {
        slots = Array(repeating: 0, count: slots.count * 2)
        let mask = slots.count - 1
        for index in 0..<count {
            let hash = self[index].withUnsafeBufferPointer(Self.hash)
            var slot = Int(truncatingIfNeeded: hash) & mask
            while slots[slot] != 0 { slot = (slot + 1) & mask }
            slots[slot] = Self.entry(hash, index)
        }
    }

    /// Eight bytes at a time, mixed by a folded 64 × 64 bit product.
    private static func hash(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        let raw = UnsafeRawBufferPointer(key)
        var hash = UInt64(key.count) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        while offset + 8 <= raw.count {
            hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < raw.count {
            tail = tail << 8 | UInt64(raw[offset])
            offset += 1
        }
        return mix(hash ^ tail)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F)
            .multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }
}

extension ByteStringTable {
    func index(of key: [UInt8]) -> Int? {
        key.withUnsafeBufferPointer { index(of: $0) }
    }

    mutating func insert(_ key: [UInt8]) -> (index: Int, isNew: Bool) {
        key.withUnsafeBufferPointer { insert($0) }
    }
}
