#!/usr/bin/env bash
# Makes a folder that Benchmarks/gpu-node.sh runs from on a machine without a Swift toolchain:
#
#   gpu-node.sh, MANIFEST          what is run there; commit, sizes
#   bundle.tar.gz                  unpacked by gpu-node.sh into a temporary folder (200 MB):
#     bin/forja                      linked with Swift's libraries inside, without symbols
#     bin/gpu-probes, bin/smoke      the probes; every operation of the engine against the host
#     lib/                           the OpenCL loader, OpenBLAS and what it stands on
#     lib/fallback/                  libstdc++ and libgcc_s, taken only where the machine has none
#     peers/*.py                     PyTorch's side
#
# The machine needs Linux on the same architecture with a C library at least as new as this one's.
# usage: gpu-bundle.sh OUTPUT          (bash and the tools of `make deps` here)
set -euo pipefail
output=$(realpath -m "${1:?usage: gpu-bundle.sh OUTPUT}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SWIFT=${SWIFT:-swift}
limit_mib=64 # small enough to send with every run

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2; exit 1; }

[ ! -e "$output" ] || die "$output exists" "name a folder that does not, or remove it"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/bin" "$tree/lib/fallback" "$tree/peers"

# A build folder of its own: the flag changes every module.
say "forja with Swift's libraries inside"
"$SWIFT" build -c release --static-swift-stdlib --scratch-path .build/bundle --product forja
cp .build/bundle/release/forja "$tree/bin/forja"

say "probes and smoke program"
Benchmarks/probes/build.sh "$tree/bin/gpu-probes"
.ci/sanitizer-build.sh "$tree/bin/smoke" -O2
strip "$tree"/bin/*

# Every library that the programs name, but the C library's own, which belong to the machine; and
# libOpenCL, which they open by name.
libraries() { ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'; }
# awk reads to the end: ldconfig stopped by a closed pipe would end this script.
loader=$(ldconfig -p | awk '/libOpenCL\.so\.1 .*(x86-64|AArch64)/ && !found++ { print $NF }')
[ -n "$loader" ] || die "libOpenCL.so.1 is not here" "make deps"
{ libraries "$tree/bin/forja"; libraries "$tree/bin/smoke"; echo "$loader"; } | sort -u |
    while read -r library; do
        case $(basename "$library") in
        libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | ld-linux*) ;;
        libstdc++.so* | libgcc_s.so*) cp -L "$library" "$tree/lib/fallback/" ;;
        *) cp -L "$library" "$tree/lib/" ;;
        esac
    done
strip --strip-unneeded "$tree"/lib/*.so* "$tree"/lib/fallback/*.so*
cp Benchmarks/peers/*.py "$tree/peers/"
mkdir -p "$output" # not before everything is built: what exists is refused
tar -C "$tree" -cf - . | gzip -9 >"$output/bundle.tar.gz"
cp Benchmarks/gpu-node.sh "$output/"
{
    echo "commit $(git rev-parse HEAD 2>/dev/null || echo unknown)$(git diff --quiet HEAD 2>/dev/null || echo ', changed')"
    echo "glibc $(ldd --version | awk 'NR == 1 { print $NF }'), $(uname -m)"
    (cd "$tree" && find . -type f -printf '%s %p\n' | sort -k 2)
} >"$output/MANIFEST"

size=$(du -sm --apparent-size "$output" | cut -f 1)
[ "$size" -le "$limit_mib" ] || die "the bundle has $size MiB, $limit_mib is the limit" \
    "see $output/MANIFEST for the largest file"
say "$output: $size MiB. There: $(basename "$output")/gpu-node.sh"
