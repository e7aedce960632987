#!/usr/bin/env bash
# Runs every kernel on small ragged shapes in Oclgrind, an OpenCL device that checks each access.
# Oclgrind leaves the program's exit status alone, so its log is what decides.
source "$(dirname "$0")/common.sh"

command -v oclgrind >/dev/null || die "oclgrind is not installed" "make deps"
for folder in /usr/lib/oclgrind /usr/lib/*/oclgrind /usr/local/lib/oclgrind /usr/local/lib; do
    runtime=$folder/liboclgrind-rt.so
    [ -e "$runtime" ] && break
done
[ -e "$runtime" ] || die "oclgrind is installed but liboclgrind-rt.so is not where it should be" \
    "add its folder to the list in .ci/oclgrind.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.ci/sanitizer-build.sh "$work/smoke"
say "every kernel under Oclgrind"
# The engine opens its OpenCL library itself, so it is told which; the program cache is a fresh one
# because another device's programs are of no use. --uninitialized is left out: the plug-in of Oclgrind
# 21.10 stops at LLVM's freeze instruction and reports values that the host did write. Outputs start
# as NaN instead, and what kernels compute is compared with the host.
status=0
FORJA_OPENCL_LIBRARY=$runtime FORJA_CACHE_DIR=$work/cache \
    oclgrind --data-races --check-api --max-errors 20 --log "$work/log" \
    "$work/smoke" opencl || status=$?
# FATAL is the simulator giving up on a kernel: nothing was checked then.
if [ -e "$work/log" ] && grep -qE 'data race|Invalid (read|write)|divergence|FATAL' "$work/log"; then
    head -n 80 "$work/log" >&2
    die "Oclgrind found faults in kernels" "each report names kernel, source line and work-items"
fi
[ "$status" = 0 ] || die "the smoke program failed under Oclgrind (exit $status)"
say "Oclgrind found nothing"
