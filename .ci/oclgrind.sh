#!/usr/bin/env bash
# Runs every family of kernels on small ragged shapes in Oclgrind, an OpenCL device that checks each access.
# Oclgrind leaves the program's exit status alone, so its log is what decides.
# usage: oclgrind.sh [PASS]...
# ref gpu cpu     a family's kernels, for races and bad addresses (the three by default, after `planted`)
# planted         an addition with a race, with a bad address and with a value nobody set: each must be found
# uninitialized   values that nobody set, in all families but the product of `cpu`; slow, by hand
# library         nothing: prints the path of Oclgrind's OpenCL library
# xmx xmx8 amd_mfma amd_wmma amd_wmma12   kernels for matrix units, emulated; half an hour each
source "$(dirname "$0")/common.sh"

command -v oclgrind >/dev/null || die "oclgrind is not installed" "make deps"
for folder in /usr/lib/oclgrind /usr/lib/*/oclgrind /usr/local/lib/oclgrind /usr/local/lib; do
    runtime=$folder/liboclgrind-rt.so
    [ -e "$runtime" ] && break
done
[ -e "$runtime" ] || die "oclgrind is installed but liboclgrind-rt.so is not where it should be" \
    "add its folder to the list in .ci/oclgrind.sh"

if [ "${1:-}" = library ]; then
    echo "$runtime"
    exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.ci/sanitizer-build.sh "$work/smoke"

# Oclgrind calls itself a GPU with little local memory, so nothing but naming a family brings the others;
# 48 KB of local memory is what an NVIDIA GPU has. The engine opens its OpenCL library itself, so it is told
# which; the program cache is a fresh one because another device's programs are of no use.
# LOG OPTION... PROGRAM ARGUMENT...: Oclgrind with these options on the program.
simulate() {
    local log=$1
    shift
    FORJA_OPENCL_LIBRARY=$runtime FORJA_CACHE_DIR=$work/cache FORJA_POISON_WORKSPACE=1 \
        oclgrind --local-mem-size 49152 --max-errors 20 --log "$log" "$@"
}
# FATAL is the simulator giving up on a kernel: nothing was checked then.
has_faults() {
    [ -e "$1" ] && grep -qE \
        'data race|Invalid (read|write|memory)|ninitialized|divergence|runtime error|FATAL' "$1"
}
# NAME LOG STATUS: dies when the log or the status says that something was found.
require_clean() {
    if has_faults "$2"; then
        head -n 80 "$2" >&2
        die "Oclgrind found faults in $1 kernels" \
            "each report names kernel, source line and work-items"
    fi
    [ "$3" = 0 ] || die "the smoke program failed under Oclgrind (exit $3)"
}

# FAMILY ROWS [OPERATION]: races and bad addresses.
check_family() {
    local family=$1 rows=$2 log=$work/$1.log status=0
    shift 2
    say "$family kernels under Oclgrind"
    FORJA_MATMUL_VARIANT=$family FORJA_ATTENTION_VARIANT=$family FORJA_ROW_KERNELS=$rows \
        simulate "$log" --data-races --check-api "$work/smoke" opencl "$@" || status=$?
    require_clean "$family" "$log" "$status"
}

# FAMILY ROWS OPERATION: values that nobody set. Kernels are compiled without optimisation: the plug-in of
# Oclgrind 21.10 stops at LLVM's freeze and at shuffles with lanes that do not matter, which optimisation
# makes; `cpu` products widen vectors with such shuffles in any case.
check_uninitialized() {
    local log=$work/uninitialized.log status=0
    rm -f "$log"
    say "$3, $1 kernels, under Oclgrind for values that nobody set"
    FORJA_MATMUL_VARIANT=$1 FORJA_ATTENTION_VARIANT=$1 FORJA_ROW_KERNELS=$2 \
        simulate "$log" --uninitialized --build-options -cl-opt-disable "$work/smoke" opencl "$3" ||
        status=$?
    require_clean "$1" "$log" "$status"
}
check_all_uninitialized() {
    local operation
    for operation in $("$work/smoke" operations); do
        case $operation in
        matmul) check_uninitialized ref group matmul && check_uninitialized gpu group matmul ;;
        attention_*)
            for family in ref gpu cpu; do check_uninitialized $family group "$operation"; done ;;
        *) for rows in group item; do check_uninitialized ref $rows "$operation"; done ;;
        esac
    done
}

# NAME WORDS OPTIONS STATEMENT: an addition with STATEMENT in it must be reported in these words.
plant() {
    local log=$work/planted.log
    rm -rf "$log" "$work/kernels"
    cp -r kernels "$work/kernels"
    sed -i "s|^    y += y_offset;|&\n    $4|" "$work/kernels/add.cl"
    grep -qF "$4" "$work/kernels/add.cl" || die "no place for a fault in kernels/add.cl" "mend plant()"
    # shellcheck disable=SC2086  # the options are words
    FORJA_KERNELS=$work/kernels FORJA_ROW_KERNELS=group \
        simulate "$log" $3 "$work/smoke" opencl add >"$work/planted.out" 2>&1 || true
    { has_faults "$log" && grep -q "$2" "$log"; } ||
        { cat "$work/planted.out" >&2; die "Oclgrind did not report a planted $1" "see .ci/oclgrind.sh"; }
    say "a planted $1 is found"
}
check_planted() {
    plant 'race' 'data race' '--data-races' \
        '__local ulong last; last = get_local_id(0); if (last > count) y[0] = 0;'
    plant 'bad address' 'Invalid read' '--check-api' 'if (a[count + (1 << 20)] != 0) y[0] = 0;'
    plant 'value nobody set' 'ninitialized' '--uninitialized --build-options -cl-opt-disable' \
        'float unset[2]; unset[0] = 0; y[0] = unset[count > 0];'
}

for pass in ${*:-planted ref gpu cpu}; do
    case $pass in
    ref | gpu) check_family "$pass" group ;;
    cpu) check_family cpu item ;;
    planted) check_planted ;;
    uninitialized) check_all_uninitialized ;;
    xmx | xmx8 | amd_*)
        for operation in matmul attention_forward attention_backward; do
            FORJA_EMULATE_MATRIX_UNITS=1 check_family "$pass" group $operation
        done
        ;;
    *) die "there is no pass \"$pass\"" "see the head of .ci/oclgrind.sh" ;;
    esac
done
say "Oclgrind found nothing"
