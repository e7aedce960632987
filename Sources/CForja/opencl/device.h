/// What the files of opencl/ know of a device.
#pragma once

#include <pthread.h>

#include "loader.h"

/// A device found on a platform and not opened.
typedef struct forja__opencl_entry {
    cl_platform_id platform;
    cl_device_id id;
} forja__opencl_entry;

/// Every usable device in discovery order: platforms as the loader lists them, devices as each
/// platform does. Looked up once per process; borrowed.
size_t forja__opencl_discover(const forja__opencl_entry **out);

typedef struct forja__program forja__program; /// opencl/program.c
typedef struct forja__kernel forja__kernel;   /// opencl/program.c
enum { FORJA__KERNEL_BUCKETS = 64 };

/// A choice of a tuning, and room for "name:config".
enum { FORJA__VARIANT_SIZE = 64 };
typedef struct forja__tuned {
    forja_op op;
    char shape_class[FORJA_SHAPE_CLASS_SIZE];
    char variant[FORJA__VARIANT_SIZE];
} forja__tuned;

struct forja__opencl_device {
    cl_platform_id platform;
    cl_device_id id;
    bool is_sub_device;
    cl_context context;
    /// Device, driver and platform with their versions, one per line: part of every cache key.
    char identity[1280];
    uint64_t max_work_group;
    /// Bit `fragment` is set where that matrix unit passed its probe (opencl/fragment.h).
    uint32_t matrix_units;
    /// The kernels *_nv_mma.cl run here: opencl/nv_mma.h.
    bool has_nv_mma;
    /// And its compute capability is the one that matmul_nv_wgmma_module.ptx is made for.
    bool may_have_nv_wgmma;
    /// What forja__opencl_has_nv_wgmma found; 0, a forja__answer, before anybody asked it.
    int nv_wgmma;
    uint32_t vector_width;
    /// Program binaries of this device are kept on disk.
    bool keeps_binaries;

    /// What forja_device_force_variant and _set_tuning say (variants.c): "name" or "name:config".
    char forced[FORJA_OP_COUNT][FORJA__VARIANT_SIZE];
    forja__tuned *tuned;
    size_t tuned_count;

    /// Guards the two lists, and a build: two threads that want one program wait for one build.
    pthread_mutex_t program_lock;
    forja__program *programs;
    forja__kernel *kernels[FORJA__KERNEL_BUCKETS];
    _Atomic uint64_t kernel_count;

    /// A kernel object holds one set of arguments for every queue of the device, so setting them
    /// and enqueueing is one critical section.
    pthread_mutex_t launch_lock;
};

/// Fills everything but the probed capabilities.
forja_status forja__opencl_describe(forja_device_info *out, const forja__opencl_entry *entry);

/// Opens `entry` into `device`, whose info is filled; undoes what it did on failure.
forja_status forja__opencl_device_open(forja_device *device, const forja__opencl_entry *entry);
/// The same without probes: no capability, no matrix unit.
forja_status forja__opencl_device_open_unprobed(forja_device *device,
                                                const forja__opencl_entry *entry);
/// Makes `out` sub-device `part` of `part_count` equal ones; to be released by
/// forja__opencl_sub_device_free, which leaves whole devices alone.
forja_status forja__opencl_sub_device(forja__opencl_entry *out, const forja__opencl_entry *entry,
                                      uint32_t part, uint32_t part_count);
void forja__opencl_sub_device_free(cl_device_id id);
void forja__opencl_device_close(forja_device *device);

/// Runs the capability probes and sets has_fp16, has_fp64, has_subgroups, matrix_units, has_nv_mma
/// and may_have_nv_wgmma. A probe that does not compile, run or give the expected number is a missing
/// capability, never an error.
void forja__opencl_probe(forja_device *device);

/// Releases the programs and kernels of forja__kernel_get.
void forja__programs_free(forja__opencl_device *opencl);

/// Memory and queues.
forja_status forja__opencl_buffer_create(forja_buffer *buffer);
void forja__opencl_buffer_free(forja_buffer *buffer);
forja_status forja__opencl_buffer_write(forja_queue *queue, forja_buffer *buffer, uint64_t offset,
                                        const void *source, uint64_t size);
forja_status forja__opencl_buffer_read(forja_queue *queue, void *destination,
                                       const forja_buffer *buffer, uint64_t offset, uint64_t size);
forja_status forja__opencl_buffer_copy(forja_queue *queue, forja_buffer *destination,
                                       uint64_t destination_offset, const forja_buffer *source,
                                       uint64_t source_offset, uint64_t size);
forja_status forja__opencl_buffer_fill(forja_queue *queue, forja_buffer *buffer, uint64_t offset,
                                       uint64_t size, uint8_t byte);
forja_status forja__opencl_staging_create(forja_staging *staging);
void forja__opencl_staging_free(forja_staging *staging);
forja_status forja__opencl_queue_create(forja_queue *queue);
void forja__opencl_queue_free(forja_queue *queue);
forja_status forja__opencl_queue_finish(forja_queue *queue);
forja_status forja__opencl_event_record(forja_event *event, forja_queue *queue);
forja_status forja__opencl_event_wait(const forja_event *event);
void forja__opencl_event_free(forja_event *event);
forja_status forja__opencl_queue_start_profile(forja_queue *queue);

/// "CL_OUT_OF_RESOURCES" for -5; "unknown code" for what OpenCL 1.2 does not list.
const char *forja__opencl_code_name(cl_int code);

/// Records that `call` failed with `code` on `device_name` and what to do about it:
/// FORJA_ERROR_OUT_OF_MEMORY for the codes that mean it, else FORJA_ERROR_DEVICE.
forja_status forja__opencl_fail(cl_int code, const char *call, const char *device_name);
