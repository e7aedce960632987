#!/usr/bin/env bash
# Trains the quickstart recipe in a fresh run directory and writes text with the result.
source "$(dirname "$0")/common.sh"

forja=.build/release/forja
run=runs/quickstart-$(date +%Y%m%d-%H%M%S)-$$
"$forja" train recipes/quickstart.yaml --run-dir "$run"
say "text from $run"
"$forja" generate --model "$run" --prompt "${PROMPT:-ROMEO:}" --max-tokens 200
