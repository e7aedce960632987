import ForjaRuntime

/// What `--version` prints.
enum BuildInformation {
    static var version: String { Device.engineVersion }

    static var text: String {
        #if arch(x86_64)
            let architecture = "x86_64"
        #elseif arch(arm64)
            let architecture = "arm64"
        #else
            let architecture = "unknown architecture"
        #endif
        #if DEBUG
            let configuration = "debug"
        #else
            let configuration = "release"
        #endif
        return """
            forja \(version) (\(configuration), \(architecture))
            kernels \(Device.kernelsHash)
            blas    \(Device.blasDescription)
            opencl  \(Device.openCLStatus)
            """
    }
}
