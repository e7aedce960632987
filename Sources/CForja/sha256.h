/// SHA-256 (FIPS 180-4), for cache keys and content hashes.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { FORJA__SHA256_BYTES = 32, FORJA__SHA256_HEX_BYTES = 65 };

typedef struct forja__sha256 {
    uint32_t state[8];
    uint64_t size_bytes;
    uint8_t block[64];
} forja__sha256;

void forja__sha256_start(forja__sha256 *hash);
void forja__sha256_add(forja__sha256 *hash, const void *bytes, size_t size_bytes);
/// Adds the text and its terminating zero, so that "ab", "c" and "a", "bc" differ.
void forja__sha256_add_text(forja__sha256 *hash, const char *text);
void forja__sha256_finish(forja__sha256 *hash, uint8_t out[FORJA__SHA256_BYTES]);

/// Lower-case hexadecimal digits and a terminating zero.
void forja__sha256_hex(const uint8_t digest[FORJA__SHA256_BYTES],
                       char out[FORJA__SHA256_HEX_BYTES]);
