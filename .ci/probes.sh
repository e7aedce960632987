#!/usr/bin/env bash
# Benchmarks/probes under the sanitizers: eight lines on the machine's first OpenCL device, and eight
# where there is no OpenCL at all.
source "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
Benchmarks/probes/build.sh "$work/gpu-probes" -fsanitize=address,undefined -fno-sanitize-recover=all

# NAME: the last run printed P1 to P8 in order, each with a verdict, and wrote as many to its JSON.
expect_eight() {
    local names
    names=$(sed -nE 's/^(P[1-8]) (passed|failed|not applicable): .+/\1/p' "$work/lines" | tr '\n' ' ')
    [ "$names" = "P1 P2 P3 P4 P5 P6 P7 P8 " ] && ! grep -q "ended the process" "$work/lines" &&
        [ "$(grep -c '^{"probe":"P' "$work/json")" = 8 ] ||
        { cat "$work/lines" >&2; die "gpu-probes $1: not eight answers" "run Benchmarks/probes/build.sh and the program"; }
}
say "probes of a GPU's driver"
# Drivers keep memory until the process ends, which the child's _exit does not wait for.
ASAN_OPTIONS=detect_leaks=0 "$work/gpu-probes" --json "$work/json" | tee "$work/lines"
expect_eight "on a device"
FORJA_OPENCL_LIBRARY=no-such-library.so "$work/gpu-probes" --json "$work/json" >"$work/lines"
expect_eight "without OpenCL"
[ "$(grep -c '^P[1-8] not applicable: .*no-such-library' "$work/lines")" = 8 ] ||
    die "gpu-probes does not say why there is no device"
