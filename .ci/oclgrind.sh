#!/usr/bin/env bash
# Runs every family of kernels on small ragged shapes in Oclgrind, an OpenCL device that checks each access.
# Oclgrind leaves the program's exit status alone, so its log is what decides.
# usage: oclgrind.sh [xmx|xmx8|amd_mfma|amd_wmma|amd_wmma12]...  (kernels for matrix units, emulated:
# half an hour each; without a name every other family)
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
# One pass per family of kernels. Oclgrind calls itself a GPU with little local memory, so nothing but
# naming the family brings the others; 48 KB of local memory is what an NVIDIA GPU has.
#
# The engine opens its OpenCL library itself, so it is told which; the program cache is a fresh one
# because another device's programs are of no use. --uninitialized is left out: the plug-in of Oclgrind
# 21.10 stops at LLVM's freeze instruction and reports values that the host did write. Outputs start
# as NaN instead, and what kernels compute is compared with the host.
check_family() {
    local family=$1 rows=$2 log=$work/$1.log status=0
    shift 2
    say "$family kernels under Oclgrind"
    FORJA_MATMUL_VARIANT=$family FORJA_ATTENTION_VARIANT=$family FORJA_ROW_KERNELS=$rows \
        FORJA_OPENCL_LIBRARY=$runtime FORJA_CACHE_DIR=$work/cache \
        oclgrind --local-mem-size 49152 --data-races --check-api --max-errors 20 --log "$log" \
        "$work/smoke" opencl "$@" || status=$?
    # FATAL is the simulator giving up on a kernel: nothing was checked then.
    if [ -e "$log" ] &&
        grep -qE 'data race|Invalid (read|write|memory)|divergence|runtime error|FATAL' "$log"; then
        head -n 80 "$log" >&2
        die "Oclgrind found faults in $family kernels" \
            "each report names kernel, source line and work-items"
    fi
    [ "$status" = 0 ] || die "the smoke program failed under Oclgrind (exit $status)"
}
if [ $# = 0 ]; then
    check_family ref group
    check_family gpu group
    check_family cpu item
fi
for family in "$@"; do
    export FORJA_EMULATE_MATRIX_UNITS=1
    for operation in matmul attention_forward attention_backward; do
        check_family "$family" group $operation
    done
done
say "Oclgrind found nothing"
