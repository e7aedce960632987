#!/usr/bin/env bash
# A checkpoint of ours in Hugging Face transformers: loads with warnings as errors, encodes the same, gives
# the same log-probabilities. Tied and own head, grouped queries, RoPE scaling.
source "$(dirname "$0")/common.sh"

python=$(.ci/torch-python.sh --install)
"$python" -c 'import sys, torch, transformers; print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, transformers {transformers.__version__}")'
forja=.build/release/forja
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Trains a few steps of the quickstart with further settings and compares the checkpoint.
compare() {
    local name=$1
    shift
    say "$name"
    "$forja" train recipes/quickstart.yaml --device cpu --run-dir "$work/$name" \
        --set training.max_steps=5 --set evaluation.every_steps=0 "$@" >/dev/null 2>"$work/log" ||
        { cat "$work/log" >&2; die "training failed"; }
    "$python" Benchmarks/peers/check_checkpoint.py "$work/$name/checkpoints/step-5" --forja "$forja"
}
compare quickstart
compare own-head-and-rope-scaling --set model.tie_embeddings=false --set model.key_value_heads=1 \
    --set model.head_width=32 --set model.rope_scaling.factor=8 \
    --set model.rope_scaling.original_context_length=64
say "transformers reads our checkpoints"
