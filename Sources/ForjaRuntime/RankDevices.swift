import ForjaCore

extension DeviceSelection {
    /// Opens a device for each of several ranks of this process.
    ///
    /// On the host CPU the cores are divided. On OpenCL each rank gets a device of its own where there are as many of the
    /// chosen kind, from the chosen one on; else equal sub-devices of the one there is; else ranks share.
    ///
    /// - Parameter threadCount: For the host CPU, of all ranks together; 0 takes every core in the affinity mask.
    /// - Returns: One device a rank, and one line about what an automatic choice or sharing came to.
    public func open(
        rankCount: Int, threadCount: Int = 0
    ) throws(ForjaError) -> (devices: [Device], note: String?) {
        let (first, note) = try open(threadCount: threadCount)
        guard rankCount > 1 else { return ([first], note) }
        guard first.description.kind != .host else {
            let devices = try Self.hosts(
                rankCount: rankCount, threadCount: first.description.threadCount)
            return (devices, note)
        }
        let (devices, sharing) = try Self.openCL(
            rankCount: rankCount, from: first, index: openCLIndex(of: first))
        return (devices, [note, sharing].compactMap { $0 }.joined(separator: "; ").nonEmpty)
    }

    /// Opens a device for one of the ranks that share this host, each a process of its own.
    ///
    /// - Parameter threadCount: For the host CPU, of this rank.
    /// - Returns: The device, as a list of one, and a line about it as for threads.
    public func open(
        rank: Int, of rankCount: Int, threadCount: Int
    ) throws(ForjaError) -> (devices: [Device], note: String?) {
        let (first, note) = try open(threadCount: threadCount)
        guard first.description.kind != .host else {
            first.memorySharerCount = rankCount
            return ([first], note)
        }
        let (devices, sharing) = try Self.openCL(
            rankCount: rankCount, from: first, index: openCLIndex(of: first))
        let notes = [note, sharing].compactMap { $0 }
        return ([devices[rank]], notes.joined(separator: "; ").nonEmpty)
    }

    /// Host devices among which the threads are divided, the first ones taking what is left over.
    private static func hosts(rankCount: Int, threadCount: Int) throws(ForjaError) -> [Device] {
        var devices: [Device] = []
        for rank in 0..<rankCount {
            let share = threadCount / rankCount + (rank < threadCount % rankCount ? 1 : 0)
            devices.append(try Device.host(threadCount: max(share, 1)))
        }
        for device in devices { device.memorySharerCount = rankCount }
        return devices
    }

    private func openCLIndex(of device: Device) -> Int {
        if case .openCLIndex(let index) = self { return index }
        let description = device.description
        return Device.openCLDevices().firstIndex {
            $0.name == description.name && $0.platform == description.platform
        } ?? 0
    }

    private static func openCL(
        rankCount: Int, from first: Device, index: Int
    ) throws(ForjaError) -> (devices: [Device], note: String?) {
        let name = first.description.name
        let alike = Device.openCLDevices().enumerated().filter {
            $0.offset >= index && $0.element.kind == first.description.kind
        }.map(\.offset)
        var devices = [first]
        if alike.count >= rankCount {
            for other in alike[1..<rankCount] { devices.append(try Device.openCL(other)) }
            shareHostMemory(devices)
            return (devices, nil)
        }
        if alike.count == 1 {
            do throws(ForjaError) {
                devices = []
                for rank in 0..<rankCount {
                    devices.append(try Device.openCL(index, part: rank, of: rankCount))
                }
                for device in devices { device.memorySharerCount = rankCount }
                return (
                    devices,
                    "\(rankCount) ranks on \(rankCount) sub-devices of \(name), "
                        + "\(devices[0].description.computeUnits) compute units each"
                )
            } catch {
                guard error.code == .unavailable else { throw error }
                devices = [first]
            }
        }
        for rank in 1..<rankCount {
            devices.append(try Device.openCL(alike[rank % alike.count]))
        }
        for device in devices {
            device.memorySharerCount = (rankCount + alike.count - 1) / alike.count
        }
        return (
            devices,
            "\(rankCount) ranks share \(alike.count == 1 ? name : "\(alike.count) devices")"
        )
    }

    private static func shareHostMemory(_ devices: [Device]) {
        for device in devices where device.description.sharesHostMemory {
            device.memorySharerCount = devices.count
        }
    }
}

extension String {
    fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
