#!/usr/bin/env bash
# Runs every test in a release build, then says how many passed, failed and were skipped: the test
# runner's own last line counts skipped tests as passed. Needs an OpenCL device, as CI has with PoCL.
source "$(dirname "$0")/common.sh"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export FORJA_TEST_REQUIRE_OPENCL=1

# The engine's tests force kernel variants through the environment, which every test of a process
# sees, so they run in a process of their own.
status=0
"$SWIFT" test -c release --disable-testable-imports --filter CForjaTests 2>&1 | tee "$log" ||
    status=$?
"$SWIFT" test -c release --disable-testable-imports --skip CForjaTests 2>&1 | tee -a "$log" ||
    status=$?

# One line a test: "✔ Test NAME passed after ...", "✘ Test NAME failed after ...", "➜ Test NAME skipped".
awk '
    /^[^ ]+ Test run with [0-9]+ test/ { announced += $5; next }
    /^[^ ]+ Test case / { next }
    /^✔ Test .* passed after / { passed++ }
    /^✘ Test .* failed after / { failed++ }
    /^➜ Test .* skipped/ { skipped++; names = names "\n  " substr($0, index($0, "Test ")) }
    END {
        printf "\n%d tests: %d passed, %d failed, %d skipped%s\n",
            announced, passed, failed, skipped, names
        if (passed + failed == 0) { print "error: no test ran"; exit 1 }
        if (passed + failed + skipped != announced)
            print "note: the runner announced " announced " tests; the lines above account for " \
                passed + failed + skipped
    }' "$log" || status=1

[ "$status" = 0 ] || die "tests failed (exit $status)" "read the lines marked ✘ above"
.ci/oclgrind.sh
