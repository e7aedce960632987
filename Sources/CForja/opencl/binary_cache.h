/// Small files on disk, found by the hash of what they were made from.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sha256.h"

/// The entry's bytes (the caller frees them), or false: no cache, no such entry, or a damaged one.
bool forja__binary_cache_load(void **out, size_t *out_size_bytes,
                              const uint8_t key[FORJA__SHA256_BYTES]);

/// Writes the entry, whole or not at all. A cache that cannot be written is left as it is.
void forja__binary_cache_store(const uint8_t key[FORJA__SHA256_BYTES], const void *bytes,
                               size_t size_bytes);
