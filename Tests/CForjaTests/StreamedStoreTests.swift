import CForja
import Testing

extension OperationTests {
    /// Results of 16 MiB or more, which the host stores past its caches where they start at a multiple of 64 bytes. Every
    /// element is checked, by integer arithmetic on its bits.
    @Suite("Streamed stores")
    struct StreamedStoreTests {
        /// From this size on results are streamed.
        private static let streamedBytes = 16 << 20
        /// Elements of 2 or 4 bytes up to a multiple of 64 bytes, and up to none.
        private static let (aligned, odd) = (32, 5)

        @Test(
            "casts reach every element and none past the end",
            arguments: [Storage.f32, .bf16, .f16])
        func casts(from: Storage) throws {
            for to in Storage.allCases {
                let count = Self.streamedBytes / to.byteCount + 13
                for start in [Self.aligned, Self.odd] {
                    let device = try TestDevice.host.open()
                    let source = try HostTensor(count, from, start: 3, on: device)
                    let result = try HostTensor(count, to, start: start, on: device)
                    for index in 0..<count {
                        // Odd, so every 32-bit pattern comes once in 2³² indices.
                        source.set(UInt32(truncatingIfNeeded: index) &* 0x9e37_79b1, at: index)
                    }
                    var args = forja_cast_args()
                    (args.from, args.to) = (from.dtype, to.dtype)
                    (args.source, args.destination) = (source.span, result.span)
                    args.count = UInt64(count)
                    try requireOK(forja_cast(device.queue, &args))
                    let wrong = (0..<count).first {
                        result[$0] != Self.converted(source[$0], from, to)
                    }
                    #expect(wrong == nil, "\(from) to \(to) from element \(start)")
                    #expect(result.guardsAreIntact, "\(from) to \(to) from element \(start)")
                }
            }
        }

        @Test("gathered rows are those of the table", arguments: Storage.computing, [64, 65])
        func gathers(storage: Storage, width: Int) throws {
            let (tableRows, totalRows) = (1000, 1500)
            let rows = Self.streamedBytes / (width * storage.byteCount) + 3
            for start in [Self.aligned, Self.odd] {
                let device = try TestDevice.host.open()
                let table = try HostTensor(tableRows * width, storage, start: 7, on: device)
                let ids = try HostTensor(rows, .f32, start: 1, on: device)
                let result = try HostTensor(rows * width, storage, start: start, on: device)
                for index in 0..<table.count {
                    table.set(UInt32(index) &* 0x9e37_79b1, at: index)
                }
                // From −50 to past the end: NaN, the table's rows, and zeros for another part's.
                let id = { (row: Int) in row &* 7919 % 1600 - 50 }
                for row in 0..<rows { ids.set(UInt32(bitPattern: Int32(id(row))), at: row) }
                var args = forja_embedding_args()
                args.dtype = storage.dtype
                (args.table, args.ids, args.y) = (table.span, ids.span, result.span)
                (args.rows, args.width) = (UInt64(rows), UInt64(width))
                (args.table_rows, args.total_rows) = (UInt64(tableRows), UInt64(totalRows))
                try requireOK(forja_embedding_forward(device.queue, &args))
                let (magnitude, infinity): (UInt32, UInt32) =
                    storage == .f32 ? (0x7fff_ffff, 0x7f80_0000) : (0x7fff, 0x7f80)
                let wrong = (0..<rows).first { row in
                    (0..<width).contains { column in
                        let got = result[row * width + column]
                        return switch id(row) {
                        case 0..<tableRows: got != table[id(row) * width + column]
                        case 0..<totalRows: got != 0
                        default: got & magnitude <= infinity  // no NaN
                        }
                    }
                }
                #expect(wrong == nil, "row of width \(width) from element \(start)")
                #expect(result.guardsAreIntact, "width \(width) from element \(start)")
            }
        }

        /// Rows of 16 make a table that its owners cannot tell apart in one pass over the ids.
        @Test(
            "a table's gradient is zero where no id fell",
            arguments: Storage.computing, [16, 64, 65])
        func scatters(storage: Storage, width: Int) throws {
            let tableRows = Self.streamedBytes / (width * 4) + 3
            let ids = [5, 0, tableRows - 1, 5, 70, 5, -1, tableRows, 64]
            for start in [Self.aligned, Self.odd] {
                let device = try TestDevice.host.open()
                let dy = try HostTensor(ids.count * width, storage, start: 1, on: device)
                let idTensor = try HostTensor(ids.count, .f32, start: 1, on: device)
                let result = try HostTensor(tableRows * width, .f32, start: start, on: device)
                // Ones: a row's sum is how often its id came.
                for index in 0..<dy.count { dy.set(Float(1).bitPattern, at: index) }
                for (row, id) in ids.enumerated() {
                    idTensor.set(UInt32(bitPattern: Int32(id)), at: row)
                }
                var args = forja_embedding_backward_args()
                args.dtype = storage.dtype
                (args.dy, args.ids, args.d_table) = (dy.span, idTensor.span, result.span)
                (args.rows, args.width) = (UInt64(ids.count), UInt64(width))
                args.table_rows = UInt64(tableRows)
                try requireOK(forja_embedding_backward(device.queue, &args))
                let wrong = (0..<tableRows).first { row in
                    let want = Float(ids.filter { $0 == row }.count).bitPattern
                    return (0..<width).contains { result[row * width + $0] != want }
                }
                #expect(wrong == nil, "row of width \(width) from element \(start)")
                #expect(result.guardsAreIntact, "width \(width) from element \(start)")
            }
        }

        /// The bits of `bits`, a number of type `from`, rounded to `to`.
        private static func converted(_ bits: UInt32, _ from: Storage, _ to: Storage) -> UInt32 {
            if from == to { return bits }
            let wide =
                switch from {
                case .f32: bits
                case .bf16: bits << 16
                case .f16: widenedF16(bits)
                }
            return switch to {
            case .f32: wide
            case .bf16: narrowedBF16(wide)
            case .f16: narrowedF16(wide)
            }
        }

        private static func widenedF16(_ bits: UInt32) -> UInt32 {
            let sign = (bits & 0x8000) << 16
            let (exponent, fraction) = (bits >> 10 & 31, bits & 0x3ff)
            if exponent == 31 {
                // NaN becomes quiet.
                return sign | 0x7f80_0000 | fraction << 13 | (fraction == 0 ? 0 : 0x40_0000)
            }
            if exponent > 0 { return sign | (exponent + 112) << 23 | fraction << 13 }
            if fraction == 0 { return sign }
            // Subnormal, fraction · 2⁻²⁴: its highest bit becomes the implicit one.
            let highest = UInt32(31 - fraction.leadingZeroBitCount)
            return sign | (highest + 103) << 23 | (fraction << (23 - highest) & 0x7f_ffff)
        }

        private static func narrowedBF16(_ bits: UInt32) -> UInt32 {
            if bits & 0x7fff_ffff > 0x7f80_0000 { return bits >> 16 | 0x40 }
            return nearestEven(bits, dropping: 16)
        }

        private static func narrowedF16(_ bits: UInt32) -> UInt32 {
            let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff)
            if magnitude > 0x7f80_0000 { return sign | 0x7e00 | magnitude >> 13 & 0x3ff }
            let exponent = Int(magnitude >> 23) - 127
            if exponent > 15 { return sign | 0x7c00 }
            if exponent < -25 { return sign }
            let significand = magnitude & 0x7f_ffff | 0x80_0000
            if exponent >= -14 {
                // A carry out of the fraction goes on into the exponent, up to infinity.
                return sign | (UInt32(exponent + 14) << 10 + nearestEven(significand, dropping: 13))
            }
            return sign | nearestEven(significand, dropping: UInt32(-1 - exponent))
        }

        /// bits / 2^count, rounded to the nearest, ties to even.
        private static func nearestEven(_ bits: UInt32, dropping count: UInt32) -> UInt32 {
            let half = UInt32(1) << (count - 1)
            let (kept, dropped) = (bits >> count, bits & (2 * half - 1))
            return dropped > half || (dropped == half && kept & 1 == 1) ? kept + 1 : kept
        }
    }
}

/// A tensor of the host that tests fill and read in place: those of `Workbench` are copied a few times over, which takes long
/// at this size.
private struct HostTensor {
    let count: Int
    let span: forja_span
    private let storage: Storage
    private let buffer: TestBuffer<UInt8>
    private let first: UnsafeMutableRawPointer
    private static let guardCount = 32

    /// `count` elements of ones, the first of them element `start` of its buffer.
    init(_ count: Int, _ storage: Storage, start: Int, on device: TestDevice) throws {
        (self.count, self.storage) = (count, storage)
        buffer = try device.poisoned(
            UInt8.self, count: (start + count + Self.guardCount) * storage.byteCount, guardBytes: 0)
        first =
            try #require(forja_buffer_get_host_pointer(buffer.handle)) + start * storage.byteCount
        span = forja_span(buffer: buffer.handle, offset: UInt64(start))
    }

    /// The bits of element `index`.
    subscript(index: Int) -> UInt32 {
        storage == .f32
            ? first.load(fromByteOffset: 4 * index, as: UInt32.self)
            : UInt32(first.load(fromByteOffset: 2 * index, as: UInt16.self))
    }

    /// Makes element `index` of these bits, or of the upper ones where it has 16.
    func set(_ bits: UInt32, at index: Int) {
        if storage == .f32 {
            first.storeBytes(of: bits, toByteOffset: 4 * index, as: UInt32.self)
        } else {
            first.storeBytes(of: UInt16(bits >> 16), toByteOffset: 2 * index, as: UInt16.self)
        }
    }

    /// What lies behind the last element, and the one before the first, are as they were.
    var guardsAreIntact: Bool {
        let mask: UInt32 = storage == .f32 ? .max : 0xffff
        return self[-1] == mask && (count..<count + Self.guardCount).allSatisfy { self[$0] == mask }
    }
}
