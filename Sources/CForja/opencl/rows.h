/// How row and element kernels are shaped for a device (kernels/common.cl, "Walking rows").
#pragma once

#include "opencl.h"

typedef struct forja__rows {
    uint32_t lanes; /// work-items of a work-group: 1 on CPU devices
    uint32_t vec;   /// elements of a vector
    bool bf16;      /// storage type of the tensors
} forja__rows;

/// The shape for rows of `width` elements. `alignment` is the bitwise or of every offset, width and
/// stride that a vector load may start at, in elements. FORJA_ROW_KERNELS=item or =group overrides
/// the device class, for tests.
forja__rows forja__rows_choose(const forja_device *device, forja_dtype dtype, uint64_t width,
                               uint64_t alignment);

/// Elements of one work-group of an element kernel.
uint64_t forja__rows_block(forja__rows rows);

/// The kernel compiled for this shape; `more` holds further options or "".
forja_status forja__rows_kernel(cl_kernel *out, forja_device *device, forja__source source,
                                forja__rows rows, const char *more, const char *kernel_name);

/// Sizes of a launch of `groups` work-groups.
typedef struct forja__rows_range {
    size_t global[1], local[1];
} forja__rows_range;
forja__rows_range forja__rows_groups(forja__rows rows, uint64_t groups);

/// A kernel over `count` rows of `width` elements without sums over rows, ready for its arguments;
/// the last of them is `group_rows`, the rows of one work-group.
typedef struct forja__rows_launch {
    cl_kernel kernel;
    cl_ulong group_rows;
    forja__rows_range range;
} forja__rows_launch;
forja_status forja__rows_prepare(forja__rows_launch *out, forja_device *device,
                                 forja__source source, forja__rows rows, const char *more,
                                 const char *kernel_name, uint64_t count, uint64_t width);

static inline uint64_t forja__ceil_groups(uint64_t count, uint64_t per_group) {
    return count / per_group + (count % per_group != 0);
}
