#!/usr/bin/env bash
# One command for a node with a GPU: what the device is, what its driver allows, whether results are right, how
# fast kernels and whole steps are, and PyTorch beside them. Leaves result.json, result.md and logs/ in a folder.
#
# usage: gpu-node.sh [--device D] [--output DIR] [--shapes "small medium"] [--dtypes "f32 bf16"]
#                    [--products "4096x4096x4096"] [--seconds N] [--no-peers]
#   --device    opencl (default: the first GPU, else the first OpenCL device), opencl:N or cpu
#   --output    default Benchmarks/Results/DATE-DEVICE in a checkout, ./DATE-DEVICE beside a bundle; must not exist
#   --shapes    of `forja bench step`; default small, medium and smollm, on a GPU of 64 GB llama-1b too. On a GPU each
#               one's kernels are measured, elsewhere the first one's
#   --products  bf16 products beside those, MxNxK; default 4096 and 8192 cubed on a GPU, none elsewhere
#   --seconds   most that one measurement may take (600); a pass over all tests takes six times that at most
#
# A GPU of compute capability 9.0 is also tested and measured with FORJA_MATMUL_VARIANT=nv_wgmma.
# Runs from a checkout, or from a folder that gpu-bundle.sh made: then no Swift, compiler or Python is needed.
# What is missing is named and left out. Exits 0 when everything that could run did and passed, 1 otherwise; the
# folder is whole either way.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

device=opencl
output=
shapes=default
dtypes="f32 bf16"
products=default
seconds=600
with_peers=true
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
while [ $# -gt 0 ]; do
    case $1 in
    --no-peers) with_peers=false ;;
    --help | -h) usage; exit 0 ;;
    --device | --output | --shapes | --dtypes | --products | --seconds)
        [ $# -gt 1 ] || { echo "error: $1 takes a value" >&2; exit 64; }
        declare "${1#--}=$2"
        shift
        ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 64 ;;
    esac
    shift
done

say() { printf '\n== %s\n' "$*"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/logs"
problems=0

# ── Words for JSON and Markdown ──────────────────────────────────────────────────────────────────
text() { # a JSON string of the arguments, control characters as spaces
    printf '"%s"' "$(printf '%s' "$*" | tr '\000-\037' ' ' | sed 's/\\/\\\\/g; s/"/\\"/g')"
}
field() { # FILE KEY: the first number, or string without quotes, under a key
    grep -oE "\"$2\"[[:space:]]*:[[:space:]]*(\"[^\"]*\"|[-+0-9.eE]+)" "$1" 2>/dev/null | head -n 1 |
        sed -E 's/^"[^"]*"[[:space:]]*:[[:space:]]*//; s/^"(.*)"$/\1/'
}
rounded() { awk -v x="$1" -v f="${2:-%.0f}" -v d="${3:-1}" 'BEGIN { if (x == "") print "n/a"; else printf f, x / d }'; }
parts=() # "key: value" of the document, in order
part() { parts+=("$(text "$1"): $2"); }
part_file() { # KEY FILE: a JSON document, or null
    if [ -s "$2" ]; then part "$1" "$(cat "$2")"; else part "$1" null; fi
}
table=$work/result.md
row() { printf '%s\n' "$*" >>"$table"; }

# run NAME COMMAND...: standard output to NAME.out, the rest to logs/NAME.log; says how it ended.
run() { run_for "$seconds" "$@"; }
run_for() { # SECONDS NAME COMMAND...
    local seconds=$1 name=$2 status
    shift 2
    printf '%s\n' "\$ $*" >"$work/logs/$name.log"
    timeout "$seconds" "$@" >"$work/$name.out" 2>>"$work/logs/$name.log"
    status=$?
    reason=
    [ "$status" = 0 ] && return 0
    cat "$work/$name.out" >>"$work/logs/$name.log"
    if [ "$status" = 124 ]; then reason="took more than $seconds s"; else
        reason=$(grep -v '^\$ ' "$work/logs/$name.log" | grep -m 1 -E 'error|Error|FAILED' || tail -n 1 "$work/logs/$name.log")
        reason="exit $status: $reason"
    fi
    return "$status"
}

# ── Programs ─────────────────────────────────────────────────────────────────────────────────────
is_bundle=false
if [ -f "$here/bundle.tar.gz" ]; then
    is_bundle=true
    mkdir "$work/bundle"
    if ! tar -xzf "$here/bundle.tar.gz" -C "$work/bundle"; then
        echo "error: $here/bundle.tar.gz does not unpack into $work" >&2
        echo "  fix: copy it again, or set TMPDIR to a folder with 200 MB" >&2
        exit 1
    fi
    bundle=$work/bundle
    forja=$bundle/bin/forja probes=$bundle/bin/gpu-probes smoke=$bundle/bin/smoke peers=$bundle/peers
    export LD_LIBRARY_PATH="$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    if ldd "$forja" 2>/dev/null | grep -q 'not found'; then
        LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$bundle/lib/fallback"
    fi
    commit=$(sed -n 's/^commit //p' "$here/MANIFEST" 2>/dev/null)
else
    root=$(cd "$here/.." && pwd)
    forja=$root/.build/release/forja probes=$work/gpu-probes smoke=$work/smoke peers=$here/peers
    commit=$(git -C "$root" rev-parse HEAD 2>/dev/null)
    if ! command -v "${SWIFT:-swift}" >/dev/null; then
        echo "error: there is no Swift toolchain on PATH, and $here is no bundle" >&2
        echo "  fix: run Benchmarks/gpu-bundle.sh where there is one, and gpu-node.sh from what it makes" >&2
        exit 1
    fi
    say "building"
    if ! (cd "$root" && make --no-print-directory build) >"$work/logs/build.log" 2>&1; then
        tail -n 20 "$work/logs/build.log" >&2
        echo "error: forja does not build; the log is above" >&2
        exit 1
    fi
    # Parity has a limit of its own, and compiling no part in it.
    has_tests=true
    (cd "$root" && "${SWIFT:-swift}" build -c release --build-tests) \
        >>"$work/logs/build.log" 2>&1 || has_tests=false
    "$here/probes/build.sh" "$probes" >>"$work/logs/build.log" 2>&1 || probes=
    (cd "$root" && .ci/sanitizer-build.sh "$smoke" -O2) >>"$work/logs/build.log" 2>&1 || smoke=
fi
if ! "$forja" --version >"$work/version" 2>"$work/logs/version.log"; then
    cat "$work/logs/version.log" >&2
    echo "error: $forja does not start here" >&2
    echo "  fix: a bundle needs the architecture and at least the glibc that its MANIFEST names" >&2
    exit 1
fi
export FORJA_CACHE_DIR="${FORJA_CACHE_DIR:-$work/cache}"

# ── NVIDIA's driver ──────────────────────────────────────────────────────────────────────────────
# Containers often get the driver's library without the .icd file that names it to the loader. A folder of such
# files that adds it is what every loader understands (OCL_ICD_VENDORS); some know OCL_ICD_FILENAMES too, but not
# Debian 12's.
find_driver() {
    { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } |
        awk '/libnvidia-opencl\.so\.1/ && !found++ { print $NF }' | grep . && return # awk reads all: no SIGPIPE
    local folder found searched=${LD_LIBRARY_PATH:-}
    for folder in ${searched//:/ } /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib \
        /usr/lib/wsl/lib /usr/local/nvidia/lib64 /usr/local/nvidia/lib /run/opengl-driver/lib \
        /usr/lib/x86_64-linux-gnu/nvidia/current /usr/local/cuda/lib64 /usr/local/cuda/compat; do
        [ -e "$folder/libnvidia-opencl.so.1" ] && { echo "$folder/libnvidia-opencl.so.1"; return; }
    done
    # Folders that may not be read make find's status 1 whatever it found.
    found=$(find /usr /opt /run -xdev -name 'libnvidia-opencl.so*' 2>/dev/null | head -n 1 || true)
    [ -n "$found" ] && echo "$found"
}
say "driver"
has_nvidia=false
if command -v nvidia-smi >/dev/null || compgen -G '/dev/nvidia[0-9]*' >/dev/null; then has_nvidia=true; fi
driver_library=
vendors=${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}
if grep -qs libnvidia-opencl "$vendors"/*.icd; then
    driver_note="NVIDIA's OpenCL library has its .icd file" # named twice, its devices would be there twice
elif driver_library=$(find_driver); then
    mkdir "$work/vendors"
    cp "$vendors"/*.icd "$work/vendors/" 2>/dev/null
    echo "$driver_library" >"$work/vendors/nvidia.icd"
    export OCL_ICD_VENDORS="$work/vendors"
    # What it loads in turn lies beside it.
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(dirname "$driver_library")"
    driver_note="NVIDIA's OpenCL library is $driver_library, named to the loader by this script"
elif $has_nvidia; then
    driver_note="an NVIDIA GPU is here and libnvidia-opencl.so.1 is not; start the container with the capability \
\"compute\" (NVIDIA_DRIVER_CAPABILITIES=compute,utility or all), or install the distribution's package of the \
driver's own version (nvidia-opencl-icd, libnvidia-opencl1), or take that file from the driver's installer of the \
same version (--extract-only, no root) and put its folder into LD_LIBRARY_PATH; failing all, PoCL built with its \
CUDA driver needs libcuda.so.1 alone"
    problems=$((problems + 1))
else
    driver_note="no NVIDIA GPU on this machine"
fi
echo "$driver_note"
if command -v nvidia-smi >/dev/null; then
    run nvidia-smi nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit,compute_cap --format=csv,noheader &&
        cat "$work/nvidia-smi.out"
fi

# ── Device ───────────────────────────────────────────────────────────────────────────────────────
say "devices"
run devices "$forja" devices --json || { echo "forja devices: $reason"; problems=$((problems + 1)); }
"$forja" devices 2>&1 | tee "$work/logs/devices.txt"
has_opencl=false
if grep -q '"opencl:' "$work/devices.out"; then has_opencl=true; fi
# One object of the list a line, then the one that `--device` takes.
tr -d '\n' <"$work/devices.out" | sed 's/},/}\n/g' >"$work/device-lines"
case $device in
cpu) grep '"cpu"' "$work/device-lines" >"$work/device" ;;
opencl) { grep -m 1 -E '"kind"[^,]*-gpu"' "$work/device-lines" || grep -m 1 '"opencl:' "$work/device-lines"; } >"$work/device" ;;
*) grep "\"$device\"" "$work/device-lines" >"$work/device" ;;
esac
device_name=$(field "$work/device" name)
driver_version=$(field "$work/device" driver)
selector=$(field "$work/device" selector)
is_gpu=false compute_capability=
case $(field "$work/device" kind) in *-gpu)
    is_gpu=true
    compute_capability=$(awk -F ', *' 'NR == 1 { print $NF }' "$work/nvidia-smi.out" 2>/dev/null)
    ;;
esac
if [ "$shapes" = default ]; then
    shapes="small medium smollm"
    if $is_gpu && [ "$(rounded "$(field "$work/device" memory_bytes)" %.0f 1e9)" -ge 64 ]; then shapes+=" llama-1b"; fi
fi
if [ "$products" = default ]; then
    products=
    if $is_gpu; then products="4096x4096x4096 8192x8192x8192"; fi
fi
can_compute=true
if [ -z "$device_name" ]; then
    can_compute=false
    problems=$((problems + 1))
    echo "error: $device is not on this machine; $(grep -m 1 '^opencl:' "$work/logs/devices.txt")"
fi
host_name=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
cores=$(getconf _NPROCESSORS_ONLN)
day=$(date -u +%F)
slug=$(printf '%s' "${device_name:-no-device}" | tr '[:upper:] _' '[:lower:]--' | tr -cd 'a-z0-9-' | cut -c 1-40)
if [ -z "$output" ]; then
    if $is_bundle; then output=./$day-$slug; else output=$here/Results/$day-$slug; fi
fi
if [ -e "$output" ]; then
    echo "error: $output exists" >&2
    echo "  fix: name another folder with --output" >&2
    exit 1
fi
mkdir -p "$output" || exit 1

row "# ${device_name:-No device}, $day"
row
row "Made by \`Benchmarks/gpu-node.sh --device $device\`, commit ${commit:-unknown}; $(head -n 1 "$work/version"); $(sed -n 's/^blas *//p' "$work/version")."
row
row "| | |"
row "| --- | --- |"
row "| Device | ${device_name:-none} ($device${selector:+, $selector}) |"
row "| Driver | ${driver_version:-none}; $driver_note |"
[ -s "$work/nvidia-smi.out" ] && row "| nvidia-smi | $(head -n 1 "$work/nvidia-smi.out") |"
row "| Host | ${host_name:-unknown}, $cores cores, $(uname -sr) |"
part date "$(text "$day")"
part commit "$(text "${commit:-unknown}")"
part forja "$(text "$(cat "$work/version")")"
part host "{\"cpu\": $(text "$host_name"), \"cores\": $cores, \"kernel\": $(text "$(uname -sr)")}"
part driver "{\"note\": $(text "$driver_note"), \"nvidia_smi\": $(text "$(cat "$work/nvidia-smi.out" 2>/dev/null)")}"
part requested_device "$(text "$device")"
part_file devices "$work/devices.out"

# ── Probes ───────────────────────────────────────────────────────────────────────────────────────
say "probes"
row
row "## Probes"
row
index=${selector#opencl:}
if [ -z "$probes" ]; then
    row "Not run: gpu-probes did not build (logs/build.log)."
    part probes null
    problems=$((problems + 1))
else
    options=(--json "$work/probes.json")
    if [ "$index" != "$selector" ]; then options+=(--device "$index"); fi
    if run probes "$probes" "${options[@]}"; then
        cat "$work/probes.out"
        row "| Probe | Verdict | Asked | Seen |"
        row "| --- | --- | --- | --- |"
        sed -E 's/\|/\\|/g; s/^(P[0-9]) (passed|failed|not applicable): ([^:]*): (.*)$/| \1 | \2 | \3 | \4 |/' \
            "$work/probes.out" >>"$table"
    else
        echo "probes: $reason"
        row "Failed: $reason."
        problems=$((problems + 1))
    fi
    part_file probes "$work/probes.json"
fi

# ── Parity ───────────────────────────────────────────────────────────────────────────────────────
say "parity"
row
row "## Parity"
row
parity() { # NAME WHAT COMMAND...
    local name=$1 what=$2 verdict
    shift 2
    if run_for $((6 * seconds)) "$name" "$@"; then
        verdict=passed
        echo "$what: passed"
    else
        verdict="failed, $reason"
        problems=$((problems + 1))
        echo "$what: $verdict"
    fi
    row "- $what: $verdict (logs/$name.log)"
    parity_parts+=("$(text "$what"): $(text "$verdict")")
    cat "$work/$name.out" >>"$work/logs/$name.log"
}
parity_parts=()
if [ -z "$smoke" ]; then
    row "- Smoke program: not built (logs/build.log)"
    problems=$((problems + 1))
elif ! $has_opencl; then
    echo "not run: no OpenCL device"
    row "- Not run: no OpenCL device"
    parity smoke-host "every operation on the host, 1 and 3 threads" "$smoke" host
else
    case $selector in opencl:*) number=${selector#opencl:} ;; *) number=0 ;; esac
    FORJA_TEST_REQUIRE_OPENCL=1 FORJA_TEST_OPENCL_DEVICE=$number parity smoke-opencl \
        "every operation on opencl:$number against the host" "$smoke" opencl
    if [ "$compute_capability" = 9.0 ]; then
        FORJA_TEST_REQUIRE_OPENCL=1 FORJA_TEST_OPENCL_DEVICE=$number FORJA_MATMUL_VARIANT=nv_wgmma \
            parity smoke-wgmma "products by wgmma on opencl:$number against the host" "$smoke" opencl matmul
    fi
    if ! $is_bundle && ! $has_tests; then
        row "- The engine's tests: not built (logs/build.log)"
        problems=$((problems + 1))
    elif ! $is_bundle; then
        FORJA_TEST_REQUIRE_OPENCL=1 parity engine-tests "the engine's tests on every device" \
            bash -c "cd '$root' && '${SWIFT:-swift}' test -c release --disable-testable-imports --skip-build \
                --filter CForjaTests"
    fi
fi
part parity "{$(IFS=,; echo "${parity_parts[*]}")}"

# ── Kernels ──────────────────────────────────────────────────────────────────────────────────────
say "kernels"
row
row "## Kernels"
kernel_documents=()
python=${PYTHON:-python3}
has_torch=false torch_device=cpu torch_note=
if ! $with_peers; then
    torch_note="--no-peers"
elif ! command -v "$python" >/dev/null; then
    torch_note="no $python on PATH (PYTHON names another)"
elif ! torch_version=$("$python" -c 'import torch; print(torch.__version__)' 2>"$work/logs/torch.log"); then
    torch_note="$python has no torch: $(tail -n 1 "$work/logs/torch.log")"
else
    has_torch=true
    if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
        torch_device=cuda
    fi
    torch_note="torch $torch_version on $torch_device"
fi
echo "PyTorch: $torch_note"

# NAME TITLE DTYPE OPTION...: rows of `forja bench kernels`, beside PyTorch's where it is there. What keeps PyTorch
# away is a problem and in the table; Forja is then measured alone.
kernels() {
    local name=$1 title=$2 dtype=$3 file=$work/$1.json
    shift 3
    row
    row "### $title, $dtype"
    row
    if $has_torch && [ -e "$peers/compare_kernels.py" ]; then
        local peer_log=logs/$name-with-torch.log
        if run "$name-with-torch" "$python" "$peers/compare_kernels.py" --forja "$forja" --device "$device" \
            --torch-device "$torch_device" --dtype "$dtype" --threads "$cores" --peers torch --json "$file" "$@"; then
            cat "$work/$name-with-torch.out" | tee -a "$table"
            kernel_documents+=("$(cat "$file")")
            grep -q '"version": "not there"' "$file" || return 0
            reason=$(grep -v '^\$ ' "$work/$peer_log" | grep -E 'Error|error' | tail -n 1)
        fi
        echo "$title, $dtype, beside PyTorch: $reason"
        row "Beside PyTorch: failed, ${reason:-it gave no reason} ($peer_log)."
        row
        problems=$((problems + 1))
        [ ! -s "$file" ] || return 0
    fi
    if run "$name" "$forja" bench kernels --dtype "$dtype" --device "$device" --json "$@"; then
        cp "$work/$name.out" "$file"
        row "Without a peer; ms of each row:"
        row
        row "| op | shape | variant | ms | GFLOP/s |"
        row "| --- | --- | --- | --- | --- |"
        tr -d '\n' <"$file" | sed 's/},/}\n/g' | while read -r line || [ -n "$line" ]; do
            printf '%s' "$line" >"$work/line"
            [ -z "$(field "$work/line" ms)" ] || row "| $(field "$work/line" op) | $(field "$work/line" shape) |" \
                "$(field "$work/line" variant) | $(rounded "$(field "$work/line" ms)" %.3f) |" \
                "$(rounded "$(field "$work/line" flops_per_s)" %.1f 1e9) |"
        done
        echo "$title, $dtype: measured without a peer"
    else
        echo "$title, $dtype: $reason"
        row "Failed: $reason (logs/$name.log)."
        problems=$((problems + 1))
        return
    fi
    kernel_documents+=("$(cat "$file")")
}
# SUFFIX WORDS: the rows of --products, by the variant that the environment names.
product_kernels() {
    local options=() product
    for product in $products; do options+=(--product "$product"); done
    [ -z "$products" ] || kernels "kernels-products$1" "products$2" bf16 "${options[@]}"
}
if ! $can_compute; then
    echo "not run: $device is not on this machine"
    row
    row "Not run: $device is not on this machine."
else
    measured_shapes=${shapes%% *}
    if $is_gpu; then measured_shapes=$shapes; fi
    for shape in $measured_shapes; do
        for dtype in $dtypes; do kernels "kernels-$shape-$dtype" "$shape" "$dtype" --shape "$shape"; done
    done
    product_kernels "" ""
    if $is_gpu; then kernels kernels-attention-bf16 "attention by length" bf16 --op attention; fi
    if [ "$compute_capability" = 9.0 ]; then
        export FORJA_MATMUL_VARIANT=nv_wgmma
        product_kernels -wgmma " by wgmma"
        for shape in $shapes; do
            kernels "kernels-$shape-bf16-wgmma" "products of $shape by wgmma" bf16 --shape "$shape" --op matmul
        done
        unset FORJA_MATMUL_VARIANT
    fi
fi
part kernels "[$(IFS=,; echo "${kernel_documents[*]}")]"

# ── Steps ────────────────────────────────────────────────────────────────────────────────────────
say "training steps"
row
row "## Training steps"
row
row "| Program | Shape | Type | Device | tokens/s | GFLOP/s | MFU | median s/step | launches | host waits | bytes in, out |"
row "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
step_documents=()
median() { # the list "seconds_per_step" of a document
    tr -d '\n ' <"$1" | grep -oE '"seconds_per_step":\[[^]]*\]' | sed 's/.*\[//; s/\]//' | tr ',' '\n' |
        sort -g | awk '{ x[NR] = $1 } END { if (NR) print x[int(NR / 2) + 1] }'
}
# FILE [PEAK]: model FLOP/s over the peak of the document, or over that in FLOP/s.
mfu() {
    local own
    own=$(field "$1" mfu)
    awk -v own="$own" -v rate="$(field "$1" flops_per_s)" -v peak="${2:-}" 'BEGIN {
        if (own != "") printf "%.1f %%", 100 * own
        else if (peak > 0) printf "%.1f %%", 100 * rate / peak
        else printf "n/a" }'
}
step() { # SHAPE DTYPE DEVICE [PEAK [VARIANT]]
    local variant=${5:-} name file
    name=step-$1-$2-${3//:/-}${variant:+-$variant} file=$work/$name.out
    if run "$name" "$forja" bench step --shape "$1" --dtype "$2" --device "$3" --json; then
        row "| Forja${variant:+, $variant} | $1 | $2 | $(field "$file" device) | $(rounded "$(field "$file" tokens_per_s)") |" \
            "$(rounded "$(field "$file" flops_per_s)" %.1f 1e9) | $(mfu "$file" "${4:-}") |" \
            "$(rounded "$(median "$file")" %.4f) |" \
            "$(field "$file" launches_per_step) | $(field "$file" host_syncs_per_step) |" \
            "$(field "$file" bytes_to_device_per_step), $(field "$file" bytes_from_device_per_step) |"
        step_documents+=("$(cat "$file")")
        echo "forja $1 $2 on $3: $(rounded "$(field "$file" tokens_per_s)") tokens/s"
    else
        echo "forja $1 $2 on $3: $reason"
        row "| Forja${variant:+, $variant} | $1 | $2 | $3 | failed: $reason | | | | | | |"
        problems=$((problems + 1))
    fi
}
torch_step() { # SHAPE DTYPE
    local name=torch-$1-$2 file=$work/torch-$1-$2.out
    if run "$name" "$python" "$peers/torch_step.py" --shape "$1" --dtype "$2" --device "$torch_device" \
        --threads "$cores"; then
        row "| PyTorch $(field "$file" torch), $(field "$file" implementation) | $1 | $2 | $torch_device |" \
            "$(rounded "$(field "$file" tokens_per_s)") | $(rounded "$(field "$file" flops_per_s)" %.1f 1e9) |" \
            "$(mfu "$file") | $(rounded "$(field "$file" median)" %.4f) | | | |"
        step_documents+=("$(cat "$file")")
        echo "torch $1 $2 on $torch_device: $(rounded "$(field "$file" tokens_per_s)") tokens/s"
    else
        echo "torch $1 $2: $reason"
        row "| PyTorch | $1 | $2 | $torch_device | failed: $reason | | | | | | |"
        problems=$((problems + 1))
    fi
}
for shape in $shapes; do
    for dtype in $dtypes; do
        # First PyTorch: on a GPU both are held against the product that it measures.
        peak=
        if $has_torch; then
            torch_step "$shape" "$dtype"
            if [ "$torch_device" = cuda ]; then peak=$(field "$work/torch-$shape-$dtype.out" peak_product_flops_per_s); fi
        fi
        $can_compute && step "$shape" "$dtype" "$device" "$peak"
        if $can_compute && [ "$compute_capability $dtype" = "9.0 bf16" ]; then
            FORJA_MATMUL_VARIANT=nv_wgmma step "$shape" "$dtype" "$device" "$peak" nv_wgmma
        fi
    done
done
if ! $can_compute; then
    echo "forja: not run, $device is not on this machine"
    row "| Forja | | | $device | not run: not on this machine | | | | | | |"
fi
row
row "PyTorch: $torch_note. MFU: model FLOP/s over the best of six square products by the same program on a CPU, and on" \
    "a GPU over PyTorch's best of side 8192 in the type of the products (f32 without TF32)."
part torch "$(text "$torch_note")"
part steps "[$(IFS=,; echo "${step_documents[*]}")]"

# ── Result ───────────────────────────────────────────────────────────────────────────────────────
part problems "$problems"
{
    echo "{"
    for i in "${!parts[@]}"; do
        printf '%s%s\n' "${parts[$i]}" "$([ "$i" -lt $((${#parts[@]} - 1)) ] && echo ,)"
    done
    echo "}"
} >"$output/result.json"
cp "$table" "$output/result.md"
cp -r "$work/logs" "$output/"
say "$output: result.json, result.md, logs/; problems: $problems"
[ "$problems" = 0 ]
