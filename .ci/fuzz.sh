#!/usr/bin/env bash
# Damaged input for FUZZ_SECONDS (60 by default): every kind of file that forja reads, through the command
# line, then the C interface under sanitizers and on OpenCL. FUZZ_SEED (1 by default) draws other damage.
source "$(dirname "$0")/common.sh"

seconds=${FUZZ_SECONDS:-60}
seed=${FUZZ_SEED:-1}
say "damaged files, $((seconds / 2)) s, seed $seed"
FUZZ_SECONDS=$((seconds / 2)) FUZZ_SEED=$seed FUZZ_KEEP=${FUZZ_KEEP:-.build/fuzz} \
    "$SWIFT" test -c release --disable-testable-imports --filter "DamagedFileTests|DamagedReaderTests" ||
    die "a damaged file was not refused as it should be" "see ${FUZZ_KEEP:-.build/fuzz} for what was kept"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "damaged arguments, $((seconds / 2)) s, seed $seed"
.ci/sanitizer-build.sh "$work/address" -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer
"$work/address" fuzz host $((seconds * 3 / 8)) "$seed"
.ci/sanitizer-build.sh "$work/plain"
"$work/plain" fuzz opencl $((seconds / 8)) "$seed"
say "fuzz found nothing"
