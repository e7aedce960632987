#!/usr/bin/env bash
# Compiles the C engine, or the C sources that SOURCES names, and a program on it outside SwiftPM.
# usage: sanitizer-build.sh OUTPUT [compiler flag]...
# PROGRAM is the program's folder, Tests/CForjaSanitizer (the smoke program) unless it is set; LDFLAGS is honoured.
source "$(dirname "$0")/common.sh"

output=$1
shift
# The Swift toolchain's clang has #embed, C23 and the sanitizer runtimes; a system compiler may not.
swift_bin=$(dirname "$(readlink -f "$(command -v "$SWIFT")")")
if [ -x "$swift_bin/clang" ]; then compiler=$swift_bin/clang; else compiler=clang; fi
linker=()
if [ -x "$swift_bin/ld.lld" ]; then linker=(-fuse-ld=lld); fi

objects=$output.objects
rm -rf "$objects"
mkdir -p "$objects"
compile() {
    local source=$1
    shift
    # shellcheck disable=SC2046  # pkg-config prints words
    "$compiler" -std=gnu2x -O1 -g -Wall -Wextra -Werror -ISources/CForja/include \
        $(pkg-config --cflags openblas OpenCL-Headers 2>/dev/null || true) \
        "$@" -c "$source" -o "$objects/${source//\//-}.o"
}
export -f compile
export compiler objects
find "${SOURCES:-Sources/CForja}" "${PROGRAM:-Tests/CForjaSanitizer}" -name '*.c' -print0 | sort -z |
    xargs -0 -P "$(getconf _NPROCESSORS_ONLN)" -I{} bash -c 'compile "$@"' _ {} "$@"
# shellcheck disable=SC2046
"$compiler" "${linker[@]}" "$@" "$objects"/*.o -o "$output" \
    $(pkg-config --libs openblas) -lpthread -ldl -lm ${LDFLAGS:-}
rm -rf "$objects"
