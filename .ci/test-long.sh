#!/usr/bin/env bash
# What takes too long for every change: the kill soak (SOAK_SECONDS, 600 by default, over all devices;
# SOAK_SEED draws other moments), then a training curve beside PyTorch's where torch is installed.
source "$(dirname "$0")/common.sh"

say "kill soak, ${SOAK_SECONDS:-600} s"
FORJA_SOAK_SECONDS=${SOAK_SECONDS:-600} FORJA_SOAK_SEED=${SOAK_SEED:-1} FORJA_TEST_REQUIRE_OPENCL=1 \
    "$SWIFT" test -c release --disable-testable-imports --filter KillSoakTests

say "200 steps beside PyTorch"
if ! python=$(.ci/torch-python.sh 2>/dev/null); then
    echo "not run: torch, transformers and PyYAML are not importable; make interop installs them"
    exit 0
fi
forja=.build/release/forja
recipe=recipes/shakespeare-chars.yaml
# At this rate training is not chaotic: float32 and float64 of PyTorch stay within 1e-6 of one another.
settings=(--set training.max_steps=200 --set schedule.learning_rate=0.001)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$forja" train "$recipe" --device cpu --set training.max_steps=0 --run-dir "$work/start" >/dev/null
"$forja" data inspect "$recipe" --batches 200 --json >"$work/batches.json"
"$forja" train "$recipe" --device cpu "${settings[@]}" --run-dir "$work/run" >/dev/null
"$python" Benchmarks/peers/torch_shakespeare.py --checkpoint "$work/start/checkpoints/step-0" \
    --batches "$work/batches.json" --recipe "$recipe" "${settings[@]}" \
    --metrics "$work/run/metrics.jsonl" >"$work/torch.json"
"$python" - "$work/torch.json" <<'PYTHON'
import json, sys
bound = 1e-5
distance = json.load(open(sys.argv[1]))["distance_to_metrics"]
print(f"largest difference of {distance['steps']} losses: {distance['largest']:.2g} (bound {bound:g})")
sys.exit(distance["steps"] != 200 or not distance["largest"] <= bound)
PYTHON
say "test-long passed"
