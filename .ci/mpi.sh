#!/usr/bin/env bash
# The MPI shim under the address and undefined-behaviour sanitizers and every launcher that is there.
# usage: mpi.sh [large]    large: messages past 2 GiB too; 20 GiB of memory, by hand
source "$(dirname "$0")/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PROGRAM=Tests/CMPISanitizer SOURCES=Sources/CMPI .ci/sanitizer-build.sh "$work/exchanges" \
    -ISources/CMPI/include -fsanitize=address,undefined -fno-sanitize-recover=undefined

# MPI libraries keep what they allocate, and UCX, which MPICH loads, patches functions that the sanitizer has patched.
export ASAN_OPTIONS=detect_leaks=0 UCX_MEM_MMAP_HOOK_MODE=none
# Test machines have few cores, and containers run as root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

launch() { timeout 120 "$@" >"$work/output" 2>&1; }
expect() { # STATUS WORDS COMMAND...: the exit status, or "any" but 0, and words of the output
    local status=0 wanted=$1 words=$2
    shift 2
    launch "$@" || status=$?
    { [ "$wanted" = "$status" ] || { [ "$wanted" = any ] && [ "$status" != 0 ] && [ "$status" != 124 ]; }; } &&
        grep -q "$words" "$work/output" && return
    cat "$work/output" >&2
    die "$* ended with $status; $wanted and \"$words\" were expected"
}

tested=0
test_mpi() { # LAUNCHER LIBRARY OTHER_LIBRARY
    local mpirun=$1 library=$2 other=$3
    command -v "$mpirun" >/dev/null || {
        echo "not run: $mpirun is absent"
        return 0
    }
    say "the MPI shim under $mpirun"
    for ranks in 1 2 4; do
        expect 0 "^$ranks ranks .*: 0 failures" "$mpirun" -n $ranks "$work/exchanges" "$library" $ranks
    done
    # Another length than the receiver's: an error. A wait given up, a rank that stays away or is killed: an end.
    expect 0 "sent 3 bytes where member 1 expected 4" "$mpirun" -n 3 "$work/exchanges" "$library" 3 short
    expect 0 "runcated" "$mpirun" -n 3 "$work/exchanges" "$library" 3 long
    expect 42 "" "$mpirun" -n 3 "$work/exchanges" "$library" 3 cancel
    expect 42 "" "$mpirun" -n 3 "$work/exchanges" "$library" 3 absent
    expect any "" "$mpirun" -n 3 "$work/exchanges" "$library" 3 kill
    expect any "cannot open shared object" "$mpirun" -n 2 "$work/exchanges" libabsent.so 2
    expect any "has no MPI_Get_library_version" "$mpirun" -n 2 "$work/exchanges" libm.so.6 2
    if ldconfig -p | grep -q "$other"; then
        expect any "belongs to another MPI" "$mpirun" -n 2 "$work/exchanges" "$other" 2
    fi
    if [ "${large:-}" = large ]; then
        expect 0 ": 0 failures" "$mpirun" -n 2 "$work/exchanges" "$library" 2 large
    fi
    tested=$((tested + 1))
}

large=${1:-}
PATH=$PATH:/sbin
test_mpi mpirun.openmpi libmpi.so.40 libmpich.so.12
test_mpi mpirun.mpich libmpich.so.12 libmpi.so.40
echo "the MPI shim was tested with $tested of 2 MPIs"
