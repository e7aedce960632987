"""Loads a Forja checkpoint in transformers, warnings being errors, and compares what both compute.

    python check_checkpoint.py CHECKPOINT [--forja .build/release/forja] [--sequences 4]

Three things must hold: the directory loads with AutoModelForCausalLM and AutoTokenizer with nothing
missing, unexpected or warned about; `forja score` and transformers agree on the log-probability of
every token of random sequences within --tolerance; and both tokenizers give the same ids for a
few texts (left out, and said so, when the directory has no tokenizer.json).

Prints one JSON document and exits 1 when something differs. Needs torch and transformers.
"""

import argparse
import json
import logging
import pathlib
import subprocess
import sys
import warnings

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = (
    "Now is the winter of our discontent",
    "  two spaces,\ttab\nand a line\n\nand another ",
    "naïve café, 12345 + 0.5 = 12345.5; it's 100%",
    "日本語 и русский 🙂",
)


class RaiseOnWarning(logging.Handler):
    """transformers reports most trouble through logging, not through `warnings`."""

    def emit(self, record):
        if record.levelno >= logging.WARNING:
            raise RuntimeError(f"{record.name} warned: {record.getMessage()}")


def forja_json(binary, *arguments):
    done = subprocess.run(
        [binary, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{binary} {' '.join(arguments)} exits {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def log_probabilities(model, ids):
    """log p(ids[t] | ids[..<t]) for t ≥ 1, in float64 from float32 logits."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    table = logits[:-1].log_softmax(-1)
    return table.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def check_scores(model, options):
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    longest = min(64, model.config.max_position_embeddings)
    for index in range(options.sequences):
        length = max(2, longest // (index + 1))
        ids = torch.randint(model.config.vocab_size, (length,), generator=generator).tolist()
        answer = forja_json(options.forja, "score", "--model", str(options.checkpoint),
                            "--device", options.device, "--ids", " ".join(map(str, ids)))
        if answer["ids"] != ids or answer["logprobs"][0] is not None:
            sys.exit(f"forja score --ids returned other ids, or a first log-probability: {answer}")
        expected = log_probabilities(model, ids)
        largest = max(largest, *(abs(a - b) for a, b in zip(answer["logprobs"][1:], expected)))
    return largest


def check_tokenizer(options):
    if not (options.checkpoint / "tokenizer.json").exists():
        return "no tokenizer.json: not compared"
    tokenizer = AutoTokenizer.from_pretrained(options.checkpoint)
    path = str(options.checkpoint / "tokenizer.json")
    for text in TEXTS:
        answer = forja_json(
            options.forja, "tokenizer", "encode", "--tokenizer", path, "--text", text)
        expected = tokenizer(text)["input_ids"]
        if answer["ids"] != expected:
            sys.exit(f"{text!r}: forja gives {answer['ids']}, transformers {expected}")
    return f"{len(TEXTS)} texts encode the same"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--forja", default=".build/release/forja")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sequences", type=int, default=4)
    # Both sides compute in float32 with different summation orders; logits of a trained model are
    # of order 10 and their relative error of order 1e-6.
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    warnings.simplefilter("error")
    logging.getLogger("transformers").addHandler(RaiseOnWarning())
    model, report = AutoModelForCausalLM.from_pretrained(
        options.checkpoint, dtype=torch.float32, output_loading_info=True)
    left_over = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if left_over:
        sys.exit(f"{options.checkpoint} does not load cleanly: {left_over}")
    largest = check_scores(model.eval(), options)
    print(json.dumps({"loads": True, "tokenizer": check_tokenizer(options),
                      "largest_logprob_difference": largest, "tolerance": options.tolerance}))
    if not largest <= options.tolerance:
        sys.exit(f"log-probabilities differ by {largest}, more than {options.tolerance}")


if __name__ == "__main__":
    main()
