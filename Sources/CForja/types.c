// Element types.
#include "internal.h"

size_t forja_dtype_size(forja_dtype dtype) {
    switch (dtype) {
    case FORJA_DTYPE_F32:
    case FORJA_DTYPE_I32:
        return 4;
    case FORJA_DTYPE_BF16:
    case FORJA_DTYPE_F16:
        return 2;
    }
    return 0;
}
