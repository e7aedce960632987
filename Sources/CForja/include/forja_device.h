/// Devices: the host CPU, or an OpenCL device found on any platform.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum forja_device_kind {
    /// The host CPU: vector C, and BLAS where the processor has neither AVX-512 nor AVX2.
    FORJA_DEVICE_HOST = 0,
    FORJA_DEVICE_OPENCL_GPU = 1,
    FORJA_DEVICE_OPENCL_CPU = 2,
    FORJA_DEVICE_OPENCL_ACCELERATOR = 3,
} forja_device_kind;

typedef struct forja_device_info {
    char name[256];
    /// Platform name; "host" for FORJA_DEVICE_HOST.
    char platform[256];
    /// Driver and platform version; the BLAS configuration for FORJA_DEVICE_HOST.
    char driver[256];
    forja_device_kind kind;
    /// What may be allocated in all: device memory, or for devices that use the host's memory the
    /// least of that, the cgroup limit and FORJA_MEMORY_LIMIT (bytes, or with suffix K, M, G).
    uint64_t memory_bytes;
    uint64_t max_allocation_bytes;
    uint64_t local_memory_bytes;
    uint32_t compute_units;
    /// Threads that run kernels: the pool's for FORJA_DEVICE_HOST, compute units otherwise.
    uint32_t thread_count;
    /// The device's memory is the host's memory (host CPU, OpenCL CPU runtimes, integrated GPUs).
    bool shares_host_memory;
    /// Probed by compiling and running, never by extension strings. Filled once a device is open;
    /// `forja_opencl_device_query` leaves them false.
    bool has_fp16, has_fp64, has_subgroups;
} forja_device_info;

/// Number of OpenCL devices over all platforms; 0 when there is no loader, driver or device.
size_t forja_opencl_device_count(void);

/// One line saying what was found or why there is nothing: "2 devices on 1 platform",
/// "libOpenCL.so.1 could not be opened: ...". Borrowed, valid for the life of the process.
const char *forja_opencl_status(void);

/// Describes OpenCL device `index` in discovery order, without opening it.
/// @return FORJA_OK; FORJA_ERROR_OUT_OF_RANGE past the end; FORJA_ERROR_DEVICE when it cannot be
///         asked.
forja_status forja_opencl_device_query(forja_device_info *out, size_t index);

/// Opens the host CPU with `thread_count` threads (0: all cores in the affinity mask).
/// Results never depend on the thread count.
/// @param[out] out  Free with `forja_device_free` after everything made on it.
forja_status forja_device_open_host(forja_device **out, uint32_t thread_count);

/// Opens OpenCL device `index`: one context of its own, capabilities probed, kernels built on first
/// use and cached on disk (`$FORJA_CACHE_DIR`, else `$XDG_CACHE_HOME/forja`, else
/// `~/.cache/forja`; a cache that cannot be written is only slower). PoCL caches programs itself, so
/// ours leaves its programs alone unless FORJA_PROGRAM_CACHE=1; FORJA_PROGRAM_CACHE=0 turns it off.
forja_status forja_device_open_opencl(forja_device **out, size_t index);

/// Opens sub-device `part` of `part_count` equal ones that OpenCL device `index` is split into: ranks
/// that share a CPU runtime's device each get cores of their own.
/// @return FORJA_ERROR_UNAVAILABLE when the device has too few compute units or cannot be split;
///         GPUs usually cannot.
forja_status forja_device_open_opencl_part(forja_device **out, size_t index, uint32_t part,
                                           uint32_t part_count);

/// Where Forja keeps what it can make again, without a final slash: `$FORJA_CACHE_DIR`, else
/// `$XDG_CACHE_HOME/forja` if that is absolute, else `~/.cache/forja`. It need not exist.
/// @return Characters written, the terminator not counted; 0 when no variable names a directory or
///         `out` has no room.
size_t forja_cache_directory(char *out, size_t size_bytes);

/// NULL is allowed.
void forja_device_free(forja_device *device);

forja_status forja_device_get_info(forja_device_info *out, const forja_device *device);

/// Bytes in live buffers of `device`, workspaces included.
uint64_t forja_device_allocated_bytes(const forja_device *device);
/// The most that `forja_device_allocated_bytes` has been since the device was opened.
uint64_t forja_device_peak_allocated_bytes(const forja_device *device);
/// Kernels built or loaded from the binary cache so far; 0 on the host.
uint64_t forja_device_kernel_count(const forja_device *device);

/// Hexadecimal SHA-256 over the embedded kernel sources, and the host BLAS's own description. Borrowed.
const char *forja_kernels_hash(void);
const char *forja_blas_description(void);

/// FLOP/s of the best of six single-precision 1536³ OpenBLAS products on `thread_count` threads
/// (0: all in the affinity mask): the peak that `bench step` divides by. Restores the thread setting.
forja_status forja_host_measure_peak(double *out_flops_per_second, uint32_t thread_count);

#ifdef __cplusplus
}
#endif
