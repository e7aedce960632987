#!/usr/bin/env bash
# Runs the engine's tests on every OpenCL runtime that a machine without a GPU can have: PoCL, Intel's
# for CPUs (from PyPI, into .build), Mesa's rusticl on llvmpipe, and Oclgrind with all its passes, and
# leaves what passed in docs/runtimes.md: operation × storage type × runtime. A runtime that cannot be
# had is named in the last lines and keeps its column.
# usage: runtimes.sh [--operations] [pocl|intel|rusticl|oclgrind|page]...  (all runtimes by default;
# --operations: the table's lines and no other test; page: only the page, from docs/runtimes.tsv)
source "$(dirname "$0")/common.sh"

only_operations=false
if [ "${1:-}" = --operations ]; then
    only_operations=true
    shift
fi
wanted=${*:-pocl intel rusticl oclgrind}
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

if [ "$wanted" != page ]; then
    say "building the tests"
    .ci/sanitizer-build.sh "$work/smoke"
    $only_operations || "$SWIFT" build -c release --build-tests
fi

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

# NAME SECONDS VARIABLE=VALUE...: one operation after the other in the smoke program, each with SECONDS;
# NAME's lines of the table.
table=docs/runtimes.tsv
touch $table
operations() {
    local name=$1 limit=$2 operation status device failed=0
    shift 2
    for operation in $("$work/smoke" operations); do
        status=0
        env FORJA_CACHE_DIR="$work/cache" "$@" timeout "$limit" "$work/smoke" rows "$operation" \
            >"$work/rows" 2>"$work/errors" || status=$?
        device=$(sed -n 's/^device: //p' "$work/rows")
        if [ "$status" != 0 ]; then
            failed=$((failed + 1))
            head -n 5 "$work/errors" >&2
        fi
        if [ "$status" = 124 ]; then
            for dtype in f32 bf16; do echo "row $operation $dtype 0 timeout-$limit-s"; done >>"$work/rows"
        fi
        if [ "$status" = 0 ] || grep -q '^row' "$work/rows"; then :; else
            echo "row $operation any 0 exit-$status" >>"$work/rows"
        fi
        sed -n "s/^row /$name\t/p" "$work/rows" | tr ' ' '\t'
        echo "  $operation: exit $status" >&2
    done >"$work/lines"
    { grep -v "^$name	" $table || true; cat "$work/lines"; } >"$work/table"
    cp "$work/table" $table
    echo "$name	$device" >>"$work/devices"
    [ "$failed" = 0 ]
}

pocl_runtime() {
    local vendor
    vendor=$(compgen -G '/etc/OpenCL/vendors/pocl*.icd' | head -n 1 || true)
    [ -n "$vendor" ] || { record "NOT RUN      PoCL: not installed (make deps)"; return; }
    mkdir -p "$folder/pocl"
    cp "$vendor" "$folder/pocl/pocl.icd"
    local runtime=(OCL_ICD_VENDORS="$folder/pocl" FORJA_TEST_REQUIRE_OPENCL=1)
    attempt "PoCL: operations" operations PoCL 600 "${runtime[@]}"
    $only_operations && return
    attempt "PoCL: CForjaTests" engine_tests "${runtime[@]}"
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
    env "${runtime[@]}" "$work/smoke" opencl sum | grep '^device: .*Intel' >/dev/null ||
        { record "FAILED       Intel CPU runtime: it gives no device"; failures=$((failures + 1)); return; }
    attempt "Intel CPU runtime: operations" operations Intel 600 "${runtime[@]}"
    $only_operations && return
    attempt "Intel CPU runtime: matrix units" matrix_units "${runtime[@]}"
    attempt "Intel CPU runtime: XMX with real sub-groups of 16" smoke "${runtime[@]}" \
        FORJA_EMULATE_MATRIX_UNITS=subgroups FORJA_MATMUL_VARIANT=xmx:64x64x32
    attempt "Intel CPU runtime: XMX with real sub-groups of 8" smoke "${runtime[@]}" \
        FORJA_EMULATE_MATRIX_UNITS=subgroups FORJA_MATMUL_VARIANT=xmx8:64x64x32
    attempt "Intel CPU runtime: CForjaTests" engine_tests "${runtime[@]}"
}

rusticl_runtime() {
    local library
    library=$(compgen -G '/usr/lib/*/libRusticlOpenCL.so.1' | head -n 1 || true)
    if [ -z "$library" ] && can_apt; then
        # Without its .icd files: with them every program here would load Mesa's other OpenCL too, which
        # programs under the address sanitizer do not survive.
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
            -o Dpkg::Options::='--path-exclude=/etc/OpenCL/vendors/*' mesa-opencl-icd >"$work/apt" 2>&1 || true
        library=$(compgen -G '/usr/lib/*/libRusticlOpenCL.so.1' | head -n 1 || true)
    fi
    [ -n "$library" ] ||
        { record "NOT RUN      rusticl: no libRusticlOpenCL.so.1 (Debian: mesa-opencl-icd)"; return; }
    mkdir -p "$folder/rusticl"
    echo "$library" >"$folder/rusticl/rusticl.icd"
    attempt "rusticl: operations" operations rusticl 240 OCL_ICD_VENDORS="$folder/rusticl" \
        RUSTICL_ENABLE=swrast LP_NUM_THREADS=2
}

oclgrind_runtime() {
    command -v oclgrind >/dev/null || { record "NOT RUN      Oclgrind: not installed"; return; }
    attempt "Oclgrind: operations" operations Oclgrind 600 \
        FORJA_OPENCL_LIBRARY="$(.ci/oclgrind.sh library)" FORJA_POISON_WORKSPACE=1
    $only_operations && return
    attempt "Oclgrind: races and bad addresses" .ci/oclgrind.sh planted ref gpu cpu
    attempt "Oclgrind: values that nobody set" .ci/oclgrind.sh uninitialized
    attempt "Oclgrind: matrix units" .ci/oclgrind.sh xmx amd_mfma
}

# The table for readers, from the lines of every runtime that ever ran here.
write_page() {
    awk -F '\t' '
        { key = $2 "\t" $3; if (!(key in seen)) { seen[key] = 1; keys[++count] = key }
          if (!($1 in known)) { known[$1] = 1; names[++columns] = $1 }
          cell[key, $1] = $5 == "0" ? $4 : $5 ~ /^[0-9]+$/ ? "**" $5 " of " $4 " wrong**" : "**" $5 "**" }
        END {
            printf "| Operation | Storage |"; for (c = 1; c <= columns; c++) printf " %s |", names[c]
            printf "\n| --- | --- |"; for (c = 1; c <= columns; c++) printf " ---: |"; print ""
            for (k = 1; k <= count; k++) {
                split(keys[k], parts, "\t"); printf "| %s | %s |", parts[1], parts[2]
                for (c = 1; c <= columns; c++) printf " %s |", cell[keys[k], names[c]]; print "" } }' \
        $table >"$work/page"
    sed -i -e "/^<!-- table -->/,/^<!-- end -->/{/^<!--/!d}" -e "/^<!-- table -->/r $work/page" docs/runtimes.md
}

for name in $wanted; do
    case $name in
    pocl | intel | rusticl | oclgrind) "${name}_runtime" ;;
    page) ;;
    *) die "there is no runtime \"$name\"" "use pocl, intel, rusticl or oclgrind" ;;
    esac
done
write_page
printf '\n'
cat "$work/devices" 2>/dev/null || true
printf '%s\n' "${results[@]}"
[ "$failures" = 0 ] || die "$failures of ${#results[@]} runs failed" "run .ci/runtimes.sh with one runtime's name"
