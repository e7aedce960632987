#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Name of this machine, as messages about ranks give it; "this host" when the system does not tell.
public func hostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "this host" }
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
