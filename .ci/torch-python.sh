#!/usr/bin/env bash
# Prints the path of a Python that imports torch, transformers and PyYAML, for comparisons with them.
# usage: torch-python.sh [--install]
# The first of FORJA_PYTHON, .build/venv and python3 that has all three is taken. With --install the
# virtual environment .build/venv is made where none has; FORJA_TORCH is what pip installs as torch
# (default "torch"; on Linux that brings several GB of CUDA libraries, a CPU build is much smaller).
source "$(dirname "$0")/common.sh"

venv=.build/venv
imports_all() { "$1" -c 'import torch, transformers, yaml' >/dev/null 2>&1; }
for python in "${FORJA_PYTHON:-}" "$venv/bin/python" python3; do
    if [ -n "$python" ] && command -v "$python" >/dev/null && imports_all "$python"; then
        command -v "$python"
        exit 0
    fi
done
how="set FORJA_PYTHON to a Python with torch, transformers and PyYAML"
[ "${1:-}" = --install ] ||
    die "no Python here imports torch, transformers and PyYAML" "$how" "or run make interop, which installs them"
command -v python3 >/dev/null || die "there is no python3" "install Python 3.10 or later, or $how"
say "installing ${FORJA_TORCH:-torch}, transformers and PyYAML in $venv" >&2
python3 -m venv "$venv" >&2 || die "python3 -m venv $venv failed" "install python3-venv, or $how"
"$venv/bin/pip" install --quiet "${FORJA_TORCH:-torch}" transformers numpy pyyaml >&2 ||
    die "pip could not install them" "check the network, or $how"
imports_all "$venv/bin/python" || die "$venv was made and still does not import them" "$how"
echo "$venv/bin/python"
