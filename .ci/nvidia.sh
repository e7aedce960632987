#!/usr/bin/env bash
# The NVIDIA kernels (kernels/*_nv_*.cl) without a GPU, every variant the launchers can ask for:
# 1. run on the CPU by Tests/NvidiaEmulation, warp by warp, and compared with float64;
# 2. compiled to PTX as the driver would, assembled for three architectures: no spills, at most 48 KB
#    of local memory, and registers as recorded in docs/nvidia-ptx.md. Those that need sm_90a, which
#    drivers do not compile for, make up kernels/matmul_nv_wgmma_module.ptx, as recorded too.
# usage: nvidia.sh [--update]     --update rewrites both
source "$(dirname "$0")/common.sh"

architectures="sm_80 sm_89 sm_90"
assembler_package="nvidia-cuda-nvcc-cu12==12.9.86"
table=docs/nvidia-ptx.md
module=kernels/matmul_nv_wgmma_module.ptx
work=.build/nvidia
mkdir -p "$work"

not_run() {
    echo "not run: $1: $2"
    exit 0
}

# ── Tools ────────────────────────────────────────────────────────────────────────────────────────
if ! command -v clang-19 >/dev/null || ! compgen -G '/usr/lib/clc*/nvptx64--nvidiacl.bc' >/dev/null; then
    say "installing clang-19 and libclc-19"
    { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
        --no-install-recommends clang-19 libclc-19; } >"$work/apt.log" 2>&1 ||
        not_run "NVIDIA kernels" "clang-19 and libclc-19 are absent and apt could not install them ($work/apt.log)"
fi
library=$(compgen -G '/usr/lib/clc*/nvptx64--nvidiacl.bc' | head -n 1)

clang-19 -std=gnu2x -Wall -Wextra -Werror -ISources/CForja/include \
    Tests/NvidiaEmulation/list_variants.c Sources/CForja/opencl/nv_mma_options.c -o "$work/list"
"$work/list" options >"$work/variants"
"$work/list" calls >"$work/variants.inc"
# As forja__kernel_source does it.
clang_cl="clang-19 -x cl -cl-std=CL1.2 -Xclang -finclude-default-header -include kernels/common.cl"
export clang_cl

# ── 1. On the CPU ────────────────────────────────────────────────────────────────────────────────
# Local memory is static and its addresses are 32 bits: no position-independent code.
compile_for_host() {
    read -r symbol source kernel options <<<"$1"
    # shellcheck disable=SC2086  # options are words
    $clang_cl -DNV_EMULATED $options \
        "-D$kernel=K_$symbol" -O1 -fno-pic -Wall -Wextra -Werror -Wno-unused-function -Wno-pass-failed \
        -c "kernels/$source" -o "$work/host/$symbol.o"
}
export -f compile_for_host
export work
say "NVIDIA kernels on the CPU"
rm -rf "$work/host"
mkdir -p "$work/host"
xargs -a "$work/variants" -d '\n' -P "$(getconf _NPROCESSORS_ONLN)" -I{} bash -c 'compile_for_host "$1"' _ {}
clang-19 -std=gnu2x -O2 -g -fno-pic -no-pie -Wall -Wextra -Werror -ISources/CForja/include \
    "-I$work" Tests/NvidiaEmulation/{main,emulator,instructions,warpgroup,local_memory}.c \
    Tests/NvidiaEmulation/{matmul_test,attention_test}.c \
    Sources/CForja/opencl/nv_mma_options.c "$work"/host/*.o -lm -o "$work/emulate"
"$work/emulate"

# ── 2. To PTX, and to machine code ───────────────────────────────────────────────────────────────
assembler=$(compgen -G ".build/venv/lib/python3*/site-packages/nvidia/cuda_nvcc/bin/ptxas" || true)
if [ -z "$assembler" ]; then
    say "installing $assembler_package"
    { python3 -m venv .build/venv && .build/venv/bin/pip -q install "$assembler_package"; } \
        >"$work/pip.log" 2>&1 ||
        not_run "PTX of the NVIDIA kernels" "ptxas could not be installed ($work/pip.log)"
    assembler=$(compgen -G ".build/venv/lib/python3*/site-packages/nvidia/cuda_nvcc/bin/ptxas")
fi

# A row of the table: what ptxas says of one variant on every architecture.
assemble() {
    read -r symbol source kernel options <<<"$1"
    local row="| $symbol" local_bytes="" architecture report targets=$architectures
    if [ "$source" = matmul_nv_wgmma.cl ]; then
        targets=sm_90a
        options+=" -D$kernel=forja_$symbol" # they share a module
    fi
    for architecture in $targets; do
        # The operating system "nvcl" is the driver's own OpenCL; the library is built for another,
        # which the linker mentions. Inlined arithmetic is all that is taken from it.
        # shellcheck disable=SC2086
        $clang_cl \
            --target=nvptx64-unknown-nvcl -Xclang -target-cpu -Xclang "$architecture" \
            -Xclang -target-feature -Xclang +ptx80 -O2 -nogpulib -Xclang -mlink-bitcode-file \
            -Xclang "$library" -Wall -Wextra -Werror -Wno-unused-function -Wno-linker-warnings \
            $options -S "kernels/$source" -o "$work/ptx/$symbol.$architecture.ptx"
        report=$("$assembler" -v "-arch=$architecture" "$work/ptx/$symbol.$architecture.ptx" \
            -o /dev/null 2>&1) || { echo "error: $symbol, $architecture: $report" >&2; return 1; }
        if ! grep -q ' 0 bytes spill stores, 0 bytes spill loads' <<<"$report"; then
            echo "error: $symbol spills registers on $architecture; use a smaller tile" >&2
            return 1
        fi
        local_bytes=$(sed -nE 's/.* ([0-9]+) bytes smem.*/\1/p' <<<"$report")
        if [ "${local_bytes:-0}" -gt 49152 ]; then
            echo "error: $symbol takes $local_bytes bytes of local memory; 49152 is the limit" >&2
            return 1
        fi
        row+=" | $(sed -nE 's/.*Used ([0-9]+) registers.*/\1/p' <<<"$report")"
    done
    echo "$row | ${local_bytes:-0} |"
}
export -f assemble
export architectures assembler library
say "NVIDIA kernels to PTX and machine code"
rm -rf "$work/ptx" "$work/module.ptx"
mkdir -p "$work/ptx"
grep -v 'bf16.*_unaligned ' "$work/variants" >"$work/assembled" # the same loads, another store
xargs -a "$work/assembled" -d '\n' -P "$(getconf _NPROCESSORS_ONLN)" -I{} \
    bash -c 'set -euo pipefail; assemble "$1"' _ {} >"$work/rows"
{
    cat <<'HEAD'
# Registers and local memory of the NVIDIA kernels

What `ptxas` says of each variant; no variant spills. Made and checked by `.ci/nvidia.sh` (`--update` rewrites it). Nothing here ran on a GPU: the
driver's own compiler may take other registers.

HEAD
    echo "$(clang-19 --version | head -n 1); $("$assembler" --version | grep release)"
    echo
    echo "| variant | ${architectures// / registers | } registers | local bytes |"
    echo "|---|$(printf -- '---:|%.0s' $architectures)---:|"
    sort "$work/rows" | grep -v wgmma
    echo
    echo "| variant | sm_90a registers | local bytes |"
    echo "|---|---:|---:|"
    sort "$work/rows" | grep wgmma
} >"$work/table.md"

# The probe that is no part of the engine (Benchmarks/probes) has to be legal too.
# shellcheck disable=SC2086
clang-19 -x cl -cl-std=CL1.2 -Xclang -finclude-default-header \
    --target=nvptx64-unknown-nvcl -Xclang -target-cpu -Xclang sm_90 \
    -Xclang -target-feature -Xclang +ptx80 -O2 -nogpulib -Xclang -mlink-bitcode-file \
    -Xclang "$library" -Wall -Wextra -Werror -Wno-linker-warnings \
    -S kernels/nv_bulk_copy_probe.cl -o "$work/bulk_copy.ptx"
"$assembler" -arch=sm_90 "$work/bulk_copy.ptx" -o /dev/null

# One module of all wgmma kernels: one header, no comments.
for part in "$work"/ptx/*wgmma*.sm_90a.ptx; do
    if [ -e "$work/module.ptx" ]; then sed '1,/^\.address_size/d' "$part"; else cat "$part"; fi |
        sed -E '/^[[:space:]]*(\/\/|$)/d; s/[[:space:]]+\/\/.*//' >"$work/part.ptx"
    cat "$work/part.ptx" >>"$work/module.ptx"
done
"$assembler" -arch=sm_90a "$work/module.ptx" -o /dev/null

if [ "${1:-}" = --update ]; then
    cp "$work/table.md" "$table"
    cp "$work/module.ptx" "$module"
    say "$table and $module are rewritten"
elif ! diff -u "$table" "$work/table.md" || ! cmp "$module" "$work/module.ptx"; then
    die "registers or local memory differ from $table, or PTX from $module" \
        "if the change is meant, run .ci/nvidia.sh --update and commit both"
fi
say "$(wc -l <"$work/rows") variants assembled: no spills"
