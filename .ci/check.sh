#!/usr/bin/env bash
# What a reviewer would otherwise look for by hand: formatting, warnings, memory errors, undefined
# behaviour, data races between the engine's threads, and NVIDIA's kernels without a GPU.
source "$(dirname "$0")/common.sh"

say "swift format"
"$SWIFT" format lint --strict --parallel --recursive --configuration .swift-format \
    Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/ForjaBenchmarks

say "clang-format"
if command -v clang-format >/dev/null; then
    git ls-files -z '*.c' '*.h' | xargs -0 -r clang-format --dry-run --Werror
else
    echo "clang-format is absent: C formatting was not checked"
fi

say "shell syntax"
for script in .ci/run .ci/*.sh Benchmarks/*.sh Benchmarks/probes/*.sh; do bash -n "$script"; done

say "release build, warnings as errors (Package.swift)"
"$SWIFT" build -c release --product forja

# Every operation under the address and undefined-behaviour sanitizers is part of this.
.ci/cmake.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "C engine with the thread sanitizer"
# The Swift toolchain's thread sanitizer also watches libdispatch, so it has to be linked.
libraries=$(dirname "$(readlink -f "$(command -v "$SWIFT")")")/../lib/swift/linux
if [ -e "$libraries/libdispatch.so" ]; then
    export LDFLAGS="-L$libraries -ldispatch -lBlocksRuntime -Wl,-rpath,$libraries"
fi
.ci/sanitizer-build.sh "$work/thread" -fsanitize=thread
TSAN_OPTIONS=halt_on_error=1 "$work/thread" host
.ci/mpi.sh
.ci/probes.sh
.ci/vendors.sh
.ci/nvidia.sh | tee "$work/nvidia"
absent=$(grep -c '^not run' "$work/nvidia" || true)
say "check passed; $absent parts were not run for want of tools"
