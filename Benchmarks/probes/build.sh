#!/usr/bin/env bash
# Builds gpu-probes: the probes and the few files of the engine they stand on (loader, kernel texts).
# usage: build.sh OUTPUT [compiler flag]...
# CC is the compiler: one with #embed, such as the Swift toolchain's clang, which is taken when CC is not set.
set -euo pipefail
output=$(realpath -m "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${CC:-}" ]; then
    CC=$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")/clang
    [ -x "$CC" ] || CC=clang
fi
engine=Sources/CForja
# shellcheck disable=SC2046  # pkg-config prints words
"$CC" -std=gnu2x -O1 -g -Wall -Wextra -Werror -I$engine/include \
    $(pkg-config --cflags OpenCL-Headers 2>/dev/null || true) "$@" \
    Benchmarks/probes/*.c $engine/opencl/{loader,errors,kernel_sources,nv_mma_options}.c \
    $engine/{status,sha256}.c -o "$output" -lpthread -ldl
