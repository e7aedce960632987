// The cache on disk. One file per entry, named by its key in hexadecimal:
//
//     offset  bytes
//          0      8  "FORJACLB"
//          8      4  format version
//         12      8  size of the content
//         20     32  SHA-256 of the content
//         52      …  content
//
// Numbers are in the machine's byte order: a cache is not carried between machines.
#include "binary_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../internal.h"

enum { FORMAT_VERSION = 1, HEADER_BYTES = 52 };
static const char magic[8] = {'F', 'O', 'R', 'J', 'A', 'C', 'L', 'B'};

typedef struct cache_path {
    char text[4096];
} cache_path;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

size_t forja_cache_directory(char *out, size_t size_bytes) {
    const char *base, *below;
    if ((base = setting("FORJA_CACHE_DIR")))
        below = "";
    else if ((base = setting("XDG_CACHE_HOME")) && base[0] == '/')
        below = "/forja";
    else if ((base = setting("HOME")))
        below = "/.cache/forja";
    else
        return 0;
    int length = out ? snprintf(out, size_bytes, "%s%s", base, below) : 0;
    return length > 0 && (size_t)length < size_bytes ? (size_t)length : 0;
}

/// The kernel cache's directory; false where no variable names one.
static bool find_directory(cache_path *out) {
    // Room for the file's name and a temporary name's ending.
    const size_t room = sizeof out->text - 2 * FORJA__SHA256_HEX_BYTES - sizeof "/kernels";
    if (forja_cache_directory(out->text, room) == 0)
        return false;
    strcat(out->text, "/kernels");
    return true;
}

static void make_directories(const cache_path *directory) {
    cache_path path = *directory;
    for (char *slash = path.text + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path.text, 0777);
        *slash = '/';
    }
    mkdir(path.text, 0777);
}

static void append_name(cache_path *path, const uint8_t key[FORJA__SHA256_BYTES]) {
    char name[FORJA__SHA256_HEX_BYTES];
    forja__sha256_hex(key, name);
    strcat(path->text, "/");
    strcat(path->text, name);
}

static void digest_of(const void *bytes, size_t size_bytes, uint8_t out[FORJA__SHA256_BYTES]) {
    forja__sha256 hash;
    forja__sha256_start(&hash);
    forja__sha256_add(&hash, bytes, size_bytes);
    forja__sha256_finish(&hash, out);
}

static void make_header(uint8_t header[HEADER_BYTES], const void *bytes, size_t size_bytes) {
    const uint32_t version = FORMAT_VERSION;
    const uint64_t size = size_bytes;
    memcpy(header, magic, sizeof magic);
    memcpy(header + 8, &version, sizeof version);
    memcpy(header + 12, &size, sizeof size);
    digest_of(bytes, size_bytes, header + 20);
}

static bool read_entry(FILE *stream, void **out, size_t *out_size_bytes) {
    uint8_t header[HEADER_BYTES], expected[HEADER_BYTES];
    struct stat file;
    if (fstat(fileno(stream), &file) != 0 || file.st_size < HEADER_BYTES ||
        fread(header, HEADER_BYTES, 1, stream) != 1)
        return false;
    // The size comes from the file, not from the header, which may be damaged.
    const size_t size_bytes = (size_t)file.st_size - HEADER_BYTES;
    void *bytes = malloc(size_bytes ? size_bytes : 1);
    if (!bytes)
        return false;
    if (fread(bytes, 1, size_bytes, stream) == size_bytes) {
        make_header(expected, bytes, size_bytes);
        if (memcmp(header, expected, HEADER_BYTES) == 0) {
            *out = bytes;
            *out_size_bytes = size_bytes;
            return true;
        }
    }
    free(bytes);
    return false;
}

bool forja__binary_cache_load(void **out, size_t *out_size_bytes,
                              const uint8_t key[FORJA__SHA256_BYTES]) {
    cache_path path;
    if (!find_directory(&path))
        return false;
    append_name(&path, key);
    FILE *stream = fopen(path.text, "re");
    if (!stream)
        return false;
    bool is_valid = read_entry(stream, out, out_size_bytes);
    fclose(stream);
    return is_valid;
}

void forja__binary_cache_store(const uint8_t key[FORJA__SHA256_BYTES], const void *bytes,
                               size_t size_bytes) {
    cache_path path, temporary;
    if (!find_directory(&path))
        return;
    make_directories(&path);
    append_name(&path, key);
    temporary = path;
    strcat(temporary.text, ".XXXXXX");
    int file = mkstemp(temporary.text);
    if (file < 0)
        return;
    FILE *stream = fdopen(file, "w");
    if (!stream) {
        close(file);
        unlink(temporary.text);
        return;
    }
    uint8_t header[HEADER_BYTES];
    make_header(header, bytes, size_bytes);
    bool is_written = fwrite(header, HEADER_BYTES, 1, stream) == 1 &&
                      fwrite(bytes, 1, size_bytes, stream) == size_bytes;
    is_written = fclose(stream) == 0 && is_written;
    // Renamed when whole, so that another process never reads half an entry.
    if (!is_written || rename(temporary.text, path.text) != 0)
        unlink(temporary.text);
}
