#!/usr/bin/env bash
# Compiles every program for AMD's and Intel's matrix units with the vendors' own compilers, without
# their GPUs, and looks at what came out: matrix instructions, and no register in memory.
# usage: vendors.sh [--update]  (rewrites the table that the result is compared with)
source "$(dirname "$0")/common.sh"

table=.ci/vendors.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=()

# ── AMD: clang with the AMDGPU target, and libclc for OpenCL's functions ─────────────────────────
libclc=/usr/lib/clc/amdgcn--amdhsa.bc
find_clang() {
    local name
    for name in clang-19 clang-20 clang; do
        if command -v "$name" >/dev/null && "$name" --print-targets 2>/dev/null | grep -q amdgcn; then
            echo "$name"
            return
        fi
    done
}
clang=$(find_clang)
if { [ -z "$clang" ] || [ ! -e $libclc ]; } && can_apt; then
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends clang-19 libclc-19 >"$work/apt" 2>&1 || true
    clang=$(find_clang)
fi
[ -n "$clang" ] && [ -e $libclc ] ||
    { clang=; skipped+=("AMD: no clang with the AMDGPU target and libclc (Debian: clang-19, libclc-19)"); }

# ── Intel: ocloc, the offline form of the GPU driver's compiler ──────────────────────────────────
# Unpacked and not installed: the package would add an OpenCL driver to the machine.
intel=.build/intel-ocloc
intel_packages="intel-opencl-icd libigc1 libigdfcl1 libigdgmm12 libopencl-clang14 libllvmspirvlib14
    libllvm14 libclang-cpp14"
ocloc=$(command -v ocloc || true)
if [ -z "$ocloc" ]; then
    if [ ! -e $intel/usr/bin/ocloc ] && command -v apt-get >/dev/null; then
        mkdir -p $intel/packages
        # shellcheck disable=SC2086  # one word per package
        if (cd $intel/packages && apt-get -q download $intel_packages) >"$work/apt" 2>&1; then
            for package in $intel/packages/*.deb; do dpkg -x "$package" $intel; done
        fi
        rm -rf $intel/packages
    fi
    if [ -e $intel/usr/bin/ocloc ]; then
        ocloc=$PWD/$intel/usr/bin/ocloc
        export INTEL_LIBRARIES=$PWD/$intel/usr/lib/x86_64-linux-gnu
    fi
fi
# It writes its answer into a file of the current folder.
(cd "$work" && LD_LIBRARY_PATH=${INTEL_LIBRARIES:-} "${ocloc:-false}" query OCL_DRIVER_VERSION) \
    >/dev/null 2>&1 || { ocloc=; skipped+=("Intel: no ocloc (Debian: intel-opencl-icd)"); }
ocloc_version=$(tr -d '\0' <"$work/OCL_DRIVER_VERSION" 2>/dev/null || true)

# ── One program, one line a kernel ───────────────────────────────────────────────────────────────
# Of device, row, kernel, matrix instructions, registers (AMD: vector registers, behind the slash
# those of them for accumulation; Intel: what a thread is given), bytes of local memory, bytes of
# registers kept in memory.
compile_amd() {
    local architecture=$1 row=$2 file=$3 options=$4 out=$5
    # shellcheck disable=SC2086
    "$clang" -x cl -cl-std=CL1.2 -target amdgcn-amd-amdhsa -mcpu="$architecture" -nogpulib -O3 \
        -Xclang -finclude-default-header -Xclang -mlink-bitcode-file -Xclang "$libclc" -w \
        -include kernels/common.cl $options -S -o "$out.s" "kernels/$file"
    awk -v device="$architecture" -v row="$row" '
        /^forja_[a-z_]*:/ { kernel = substr($1, 1, length($1) - 1) }
        /v_mfma_|v_wmma_/ { instructions[kernel]++ }
        NF < 2 { next }
        { key = $(NF - 1); value = $NF }
        key == ".agpr_count:" { accumulators = "/" value }
        key == ".group_segment_fixed_size:" { local_bytes = value }
        key == ".name:" && value ~ /^forja_/ { name = value }
        key == ".private_segment_fixed_size:" { scratch = value }
        key == ".vgpr_count:" { registers = value }
        key == ".wavefront_size:" {
            print device "\t" row "\t" name "\t" instructions[name] + 0 "\t" \
                registers accumulators "\t" local_bytes "\t" scratch
        }' "$out.s" >"$out"
}
compile_intel() {
    local device=$1 row=$2 file=$3 options=$4 out=$5
    mkdir -p "$out.d"
    # Debian's headers lack the extension; the compiler behind them has it.
    printf '%s\n' "float8 __attribute__((overloadable)) intel_sub_group_bf16_bf16_matrix_mad_k16(" \
        "    short8 a, int8 b, float8 c);" \
        "float8 __attribute__((overloadable)) intel_sub_group_bf16_bf16_matrix_mad_k16(" \
        "    int8 a, int8 b, float8 c);" \
        '#include "common.cl"' "#include \"$file\"" >"$out.d/program.cl"
    (cd "$out.d" && LD_LIBRARY_PATH=${INTEL_LIBRARIES:-} IGC_ShaderDumpEnable=1 \
        IGC_DumpToCustomDir=$out.d/ "$ocloc" compile -q -file program.cl -device "$device" \
        -out_dir out -options "-cl-std=CL1.2 -I $KERNELS $options" >log 2>&1) ||
        { cat "$out.d/log" >&2; return 1; }
    # A second try, which the compiler makes where the first spilled, has _1_ in its name.
    local assembly
    for assembly in "$out.d"/*_simd*_entry_*.asm; do
        awk -v device="$device" -v row="$row" -v again="$(grep -c '_1_simd' <<<"$assembly")" '
            /^\/\/\.kernel / { kernel = $2; gsub("\"", "", kernel) }
            / dpas\./ { instructions++ }
            /^\/\/\.spill size/ { spilled = $3 }
            /numGRF=/ { split($0, part, "numGRF="); registers = part[2] + 0 }
            END {
                print device "\t" row "\t" kernel "\t" instructions + 0 "\t" registers "\t-\t" \
                    (again ? "again" : spilled + 0)
            }' "$assembly"
    done >"$out"
}
compile() {
    local line=$1 name row file options
    IFS=$'\t' read -r name row file options <<<"$line"
    local stem=$work/$(tr -c 'a-z0-9\n' - <<<"$row")
    case $name in
    amd_*) [ -n "$clang" ] || return 0 ;;
    *) [ -n "$ocloc" ] || return 0 ;;
    esac
    case $name in
    amd_mfma)
        compile_amd gfx90a "$row" "$file" "$options" "$stem-gfx90a.rows"
        compile_amd gfx942 "$row" "$file" "$options" "$stem-gfx942.rows"
        ;;
    amd_wmma) compile_amd gfx1100 "$row" "$file" "$options" "$stem.rows" ;;
    amd_wmma12) compile_amd gfx1200 "$row" "$file" "$options" "$stem.rows" ;;
    xmx) compile_intel pvc "$row" "$file" "$options" "$stem.rows" ;;
    xmx8) compile_intel dg2 "$row" "$file" "$options" "$stem.rows" ;;
    *) die "the table of variants has a matrix unit \"$name\" that nothing compiles" "add it to .ci/vendors.sh" ;;
    esac
}
export -f compile compile_amd compile_intel die
export clang ocloc libclc work KERNELS=$PWD/kernels

say "programs for AMD's and Intel's matrix units"
PROGRAM=Tests/MatrixUnits .ci/sanitizer-build.sh "$work/list"
"$work/list" >"$work/programs"
xargs -a "$work/programs" -d '\n' -P "$(getconf _NPROCESSORS_ONLN)" -I{} \
    bash -euo pipefail -c 'compile "$1"' _ {}

{
    printf '# %s; %s\n' "${clang:+$("$clang" --version | head -n 1)}" "${ocloc:+ocloc $ocloc_version}"
    printf 'device\trow\tkernel\tmatrix instructions\tregisters\tlocal bytes\tspilled bytes\n'
    cat "$work"/*.rows 2>/dev/null | sort
} >"$work/table"
awk -F '\t' 'NR > 2 && ($4 == 0 || $7 != 0) { print; bad = 1 } END { exit bad }' "$work/table" >&2 ||
    die "programs for matrix units without matrix instructions, or with registers in memory (above)" \
        "smaller tiles or more teams in opencl/variants.c"
if [ "${1:-}" = --update ]; then
    cp "$work/table" $table
elif [ "$(head -n 1 "$work/table")" != "$(head -n 1 $table)" ]; then
    echo "note: $table was made by other compilers, so its numbers were not compared"
elif ! diff -u $table "$work/table" >&2; then
    die "registers or local memory have changed (above)" ".ci/vendors.sh --update, and read the difference"
fi
for reason in ${skipped[@]+"${skipped[@]}"}; do echo "NOT CHECKED, $reason" >&2; done
say "$(($(wc -l <"$work/table") - 2)) kernels for matrix units compile and keep their sums in registers"
