#!/usr/bin/env bash
# Runs the package Benchmarks/: exact counts are checked against Benchmarks/Thresholds, times are printed beside.
# usage: bench.sh [--update]      --update rewrites Benchmarks/Thresholds from this machine's counts
source "$(dirname "$0")/common.sh"

cd Benchmarks
if [ "${1:-}" = --update ]; then
    # Without times, which would become thresholds too.
    FORJA_BENCHMARK_COUNTS_ONLY=1 "$SWIFT" package --allow-writing-to-package-directory \
        benchmark thresholds update --no-progress
    say "Benchmarks/Thresholds is rewritten; look at its diff before you commit it"
    exit 0
fi
"$SWIFT" package benchmark --no-progress --grouping metric
"$SWIFT" package benchmark thresholds check --no-progress ||
    die "counts differ from Benchmarks/Thresholds" \
        "find what launches, waits, copies or allocates more than before" \
        "if the change is meant, make bench-update and commit the difference"
