#!/usr/bin/env bash
# Benchmarks/probes under the sanitizers: eight answers on the machine's first OpenCL device, eight where
# there is no OpenCL at all, and eight from a device that only says it is NVIDIA's.
source "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compiler=$(dirname "$(readlink -f "$(command -v "$SWIFT")")")/clang
[ -x "$compiler" ] || compiler=clang
# C++ drivers throw: the address sanitizer has to find __cxa_throw when the program starts.
Benchmarks/probes/build.sh "$work/gpu-probes" -fsanitize=address,undefined \
    -fno-sanitize-recover=all -fuse-ld=lld -Wl,--no-as-needed -lstdc++

# NAME [VARIABLE=VALUE]...: runs the probes; P1 to P8 answer in order, on paper and in JSON.
ask() {
    local name=$1 answers
    shift
    # Drivers keep memory until the process ends, which the child's _exit does not wait for.
    env ASAN_OPTIONS=detect_leaks=0:handle_segv=0 "$@" "$work/gpu-probes" --json "$work/json" \
        >"$work/lines" 2>"$work/log" || { cat "$work/log" >&2; die "gpu-probes $name: exit $?"; }
    answers=$(sed -nE 's/^(P[1-8]) (passed|failed|not applicable): .+/\1/p' "$work/lines" | tr '\n' ' ')
    if [ "$answers" != "P1 P2 P3 P4 P5 P6 P7 P8 " ] || [ "$(grep -c '^{"probe":"P' "$work/json")" != 8 ]; then
        cat "$work/lines" >&2
        die "gpu-probes $name: not eight answers" "build it by Benchmarks/probes/build.sh and run it"
    fi
}
# NAME COUNT PATTERN: how many lines match.
expect() {
    [ "$(grep -cE "$3" "$work/lines")" = "$2" ] || {
        cat "$work/lines" "$work/log" >&2
        die "gpu-probes $1: not $2 lines like $3" "read the lines above"
    }
}
say "probes of a GPU's driver"
ask "on a device"
cat "$work/lines"
expect "on a device" 0 'ended the process'
ask "without OpenCL" FORJA_OPENCL_LIBRARY=no-such-library.so
expect "without OpenCL" 8 '^P[1-8] not applicable: .*no-such-library'

"$compiler" -shared -fPIC -Wall -Wextra -Werror Tests/PretendedNvidia/pretend.c -o "$work/pretend.so" \
    -Wl,--no-as-needed -l:libOpenCL.so.1 -ldl
ask "on a device that pretends" FORJA_OPENCL_LIBRARY="$work/pretend.so"
expect "on a device that pretends" 0 'not applicable'
expect "on a device that pretends" 5 '^P[23457] failed: '
