#!/usr/bin/env bash
# Runs the engine's tests on every other OpenCL runtime that a machine without a GPU can have: Intel's
# for CPUs (from PyPI, into .build), Mesa's rusticl on llvmpipe, and Oclgrind with the kernels for
# matrix units. A runtime that cannot be had is named in the last lines.
# usage: runtimes.sh [intel|rusticl|oclgrind]...  (all by default)
source "$(dirname "$0")/common.sh"

wanted=${*:-intel rusticl oclgrind}
folder=$PWD/.build/runtimes
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=()
failures=0
record() { results+=("$1"); }
# NAME COMMAND...: runs it and keeps the outcome for the last lines.
attempt() {
    local name=$1
    shift
    say "$name"
    if "$@"; then record "passed       $name"; else
        record "FAILED       $name"
        failures=$((failures + 1))
    fi
}

say "building the tests"
.ci/sanitizer-build.sh "$work/smoke"
"$SWIFT" build -c release --build-tests

# On the runtime that VARIABLE=VALUE... selects: the smoke program, once for each matrix unit that it
# emulates, and CForjaTests. Programs are cached apart, because each runtime's are its own.
engine_tests() {
    env "$@" "$SWIFT" test -c release --disable-testable-imports --skip-build --filter CForjaTests
}
smoke() { env FORJA_CACHE_DIR="$work/cache" "$@" "$work/smoke" opencl; }
matrix_units() {
    local unit
    for unit in xmx xmx8 amd_mfma amd_wmma amd_wmma12; do
        echo "matrix unit: $unit"
        smoke "$@" FORJA_EMULATE_MATRIX_UNITS=1 FORJA_MATMUL_VARIANT="$unit:64x64x32" || return 1
        smoke "$@" FORJA_EMULATE_MATRIX_UNITS=1 FORJA_ATTENTION_VARIANT=$unit || return 1
    done
}

intel_runtime() {
    local venv=.build/venv libraries
    if ! compgen -G "$venv/lib/libintelocl.so" >/dev/null; then
        { python3 -m venv $venv && $venv/bin/pip install -q intel-opencl-rt intel-cmplr-lib-rt; } ||
            { record "NOT RUN      Intel CPU runtime: PyPI's intel-opencl-rt could not be installed"; return; }
    fi
    libraries=$PWD/$venv/lib
    mkdir -p "$folder/intel"
    # The package's own .icd file holds a placeholder for a path.
    echo "$libraries/libintelocl.so" >"$folder/intel/intel.icd"
    local runtime=(OCL_ICD_VENDORS="$folder/intel" LD_LIBRARY_PATH="$libraries"
        FORJA_TEST_REQUIRE_OPENCL=1)
    smoke "${runtime[@]}" | grep '^device: .*Intel' >/dev/null ||
        { record "FAILED       Intel CPU runtime: smoke program"; failures=$((failures + 1)); return; }
    attempt "Intel CPU runtime: smoke program" smoke "${runtime[@]}"
    attempt "Intel CPU runtime: matrix units" matrix_units "${runtime[@]}"
    attempt "Intel CPU runtime: XMX with real sub-groups of 16" smoke "${runtime[@]}" \
        FORJA_EMULATE_MATRIX_UNITS=subgroups FORJA_MATMUL_VARIANT=xmx:64x64x32
    attempt "Intel CPU runtime: XMX with real sub-groups of 8" smoke "${runtime[@]}" \
        FORJA_EMULATE_MATRIX_UNITS=subgroups FORJA_MATMUL_VARIANT=xmx8:64x64x32
    attempt "Intel CPU runtime: CForjaTests" engine_tests "${runtime[@]}"
}

rusticl_smoke() {
    env FORJA_CACHE_DIR="$work/cache" OCL_ICD_VENDORS="$folder/rusticl" RUSTICL_ENABLE=swrast \
        timeout 900 "$work/smoke" opencl
}
rusticl_runtime() {
    local library
    library=$(compgen -G '/usr/lib/*/libRusticlOpenCL.so.1' | head -n 1 || true)
    if [ -z "$library" ] && can_apt; then
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q install -y --no-install-recommends mesa-opencl-icd >"$work/apt" 2>&1 || true
        library=$(compgen -G '/usr/lib/*/libRusticlOpenCL.so.1' | head -n 1 || true)
    fi
    [ -n "$library" ] ||
        { record "NOT RUN      rusticl: no libRusticlOpenCL.so.1 (Debian: mesa-opencl-icd)"; return; }
    mkdir -p "$folder/rusticl"
    echo "$library" >"$folder/rusticl/rusticl.icd"
    # Version 22.3.6 takes minutes for a kernel with barriers, and is not known to end.
    attempt "rusticl: smoke program" rusticl_smoke
}

oclgrind_runtime() {
    command -v oclgrind >/dev/null || { record "NOT RUN      Oclgrind: not installed"; return; }
    attempt "Oclgrind: every kernel" .ci/oclgrind.sh
    attempt "Oclgrind: matrix units" .ci/oclgrind.sh xmx amd_mfma
}

for name in $wanted; do
    case $name in
    intel | rusticl | oclgrind) "${name}_runtime" ;;
    *) die "there is no runtime \"$name\"" "use intel, rusticl or oclgrind" ;;
    esac
done
printf '\n'
printf '%s\n' "${results[@]}"
[ "$failures" = 0 ] || die "$failures of ${#results[@]} runs failed" "run .ci/runtimes.sh with one runtime's name"
