#!/usr/bin/env bash
# The C library without Swift: built by clang and by GCC with warnings as errors, every operation under
# the address and undefined-behaviour sanitizers, then programs that use what was installed.
# usage: cmake.sh [clang|gcc]...   (both where GCC is installed)
source "$(dirname "$0")/common.sh"

command -v cmake >/dev/null || die "cmake is not installed" "make deps"
# The Swift toolchain's clang may not be on PATH under that name.
if swift_path=$(command -v "$SWIFT"); then
    PATH=$PATH:$(dirname "$(readlink -f "$swift_path")")
fi

presets=("$@")
if [ "${#presets[@]}" = 0 ]; then
    presets=(clang)
    if command -v gcc >/dev/null; then
        presets+=(gcc)
    else
        echo "gcc is absent: the C library was built by clang alone"
    fi
fi

jobs=$(getconf _NPROCESSORS_ONLN)
for preset in "${presets[@]}"; do
    tree=build-c/ci-$preset
    say "C library by $preset"
    cmake -S cmake --preset "ci-$preset" --log-level=WARNING
    cmake --build "$tree" --parallel "$jobs" >"$tree/build.log" 2>&1 || {
        grep -E -B 2 -A 8 'error:|Error [0-9]' "$tree/build.log" >&2 ||
            tail -n 30 "$tree/build.log" >&2
        die "the C library does not build by $preset" "the whole log is $tree/build.log"
    }
    ctest --test-dir "$tree" --parallel "$jobs" --output-on-failure | grep -vE '^ *Start ' ||
        die "tests of the C library failed" "ctest --test-dir $tree --rerun-failed --output-on-failure"
done
