"""Replays a Forja pre-training run in PyTorch: same weights, same batches, same optimizer.

    forja train RECIPE --set training.max_steps=0 --run-dir start
    forja data inspect RECIPE --batches N --json > batches.json
    python torch_shakespeare.py --checkpoint start/checkpoints/step-0 --batches batches.json \\
        --recipe RECIPE [--set schedule.learning_rate=1e-3]... [--metrics RUN/metrics.jsonl] \\
        [--dtype f32|f64] [--threads 2]

`batches.json` is {"batches":[{"step","tokens":[[..]],"labels":[[..]]}]}, one entry per step from
step 1 on; labels are already shifted (labels[b][t] follows tokens[b][t]), negative where there is
none. Documents end at the checkpoint's end-of-text token unless data.document_mask is false.

Prints {"losses":[..],"learning_rates":[..],"gradient_norms":[..]}, entry n - 1 for step n, and with
--metrics also how far Forja's losses are away. Needs torch, transformers and PyYAML.
"""

import argparse
import json
import math
import sys

import torch
import yaml
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama


def learning_rate(step, peak, warmup_steps, max_steps, minimum_ratio):
    """Rate of update `step` = 1, 2, ...: a line from peak/warmup_steps up to `peak` at step
    `warmup_steps`, then a cosine from `peak` down to minimum_ratio·peak at `max_steps`."""
    warmup_steps = min(warmup_steps, max_steps)
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return peak * (minimum_ratio + (1 - minimum_ratio) * cosine)


# Recipe keys that this script follows, with the defaults of Forja's recipe schema; None: required.
KEYS = {
    "training.max_steps": None,
    "schedule.kind": "cosine",
    "schedule.learning_rate": None,
    "schedule.warmup_steps": 0,
    "schedule.minimum_ratio": 0.1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.95,
    "optimizer.epsilon": 1e-8,
    "optimizer.weight_decay": 0.1,
    "optimizer.weight_decay_on": "matrices",
    "optimizer.max_gradient_norm": 1.0,
    "data.document_mask": True,
}


def read_settings(path, overrides):
    with open(path) as file:
        recipe = yaml.safe_load(file)
    given = {f"{section}.{key}": value for section, keys in recipe.items()
             if isinstance(keys, dict) for key, value in keys.items()}
    for override in overrides:
        key, _, value = override.partition("=")
        given[key] = yaml.safe_load(value)
    settings = {}
    for key, default in KEYS.items():
        value = given.get(key, default)
        if value is None:
            sys.exit(f"{path}: {key} is missing; add it or give --set {key}=VALUE")
        # YAML 1.1, which PyYAML reads, takes 3e-4 for text.
        settings[key] = float(value) if isinstance(default, float) or key in (
            "schedule.learning_rate",) else value
    if settings["schedule.kind"] != "cosine":
        sys.exit(f"{path}: schedule.kind is {settings['schedule.kind']}; only cosine is replayed")
    return settings


def document_mask(tokens, end_of_text, dtype):
    """[B, 1, T, T] additive mask that keeps attention causal and inside documents, each of which
    ends with `end_of_text`; None, which is plain causal attention, where no document ends."""
    if end_of_text is None or not (tokens == end_of_text).any():
        return None
    first = torch.zeros_like(tokens, dtype=torch.bool)
    first[:, 1:] = tokens[:, :-1] == end_of_text
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    starts = torch.where(first, positions, 0).cummax(dim=1).values
    query = torch.arange(tokens.shape[1])[:, None]
    key = torch.arange(tokens.shape[1])[None, :]
    visible = (key <= query) & (key >= starts[:, :, None])
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(
        ~visible, torch.finfo(dtype).min)[:, None]


def keep_norms_in_float64():
    """transformers computes RMSNorm in float32 whatever it is given; in an f64 run it must not."""
    def forward(self, x):
        return self.weight * x * torch.rsqrt(
            x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    modeling_llama.LlamaRMSNorm.forward = forward


def replay(model, batches, settings, end_of_text, dtype):
    decayed = settings["optimizer.weight_decay_on"] == "all"
    matrices = [p for p in model.parameters() if decayed or p.dim() == 2]
    others = [p for p in model.parameters() if not (decayed or p.dim() == 2)]
    groups = [{"params": matrices, "weight_decay": settings["optimizer.weight_decay"]},
              {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=settings["schedule.learning_rate"],
        betas=(settings["optimizer.beta1"], settings["optimizer.beta2"]),
        eps=settings["optimizer.epsilon"])
    result = {"losses": [], "learning_rates": [], "gradient_norms": []}
    for step, batch in enumerate(batches, start=1):
        if batch.get("step", step) != step:
            sys.exit(f"batches: entry {step} is for step {batch['step']}; start at step 1")
        rate = learning_rate(
            step, settings["schedule.learning_rate"], settings["schedule.warmup_steps"],
            settings["training.max_steps"], settings["schedule.minimum_ratio"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens, labels = torch.tensor(batch["tokens"]), torch.tensor(batch["labels"])
        labels = labels.masked_fill(labels < 0, -100)
        positions = torch.arange(tokens.shape[1]).expand_as(tokens)
        logits = model(
            input_ids=tokens, position_ids=positions, use_cache=False,
            attention_mask=document_mask(tokens, end_of_text, dtype)).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # A limit of 0 clips nothing; the norm is wanted all the same.
        limit = settings["optimizer.max_gradient_norm"] or math.inf
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        result["losses"].append(loss.item())
        result["learning_rates"].append(rate)
        result["gradient_norms"].append(norm.item())
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.4f}", file=sys.stderr)
    return result


def compare(result, metrics_path):
    """Largest and mean distance to the losses of a metrics.jsonl, over the steps both have."""
    with open(metrics_path) as lines:
        rows = [json.loads(line) for line in lines]
    theirs = {row["step"]: row["loss"] for row in rows if "loss" in row}
    distances = [abs(loss - theirs[step]) for step, loss in enumerate(result["losses"], start=1)
                 if step in theirs]
    if not distances:
        sys.exit(f"{metrics_path} shares no step with the batches")
    return {"steps": len(distances), "largest": max(distances),
            "mean": sum(distances) / len(distances), "last": distances[-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="Hugging Face directory of step 0")
    parser.add_argument("--batches", required=True, help="output of forja data inspect --json")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--metrics", help="metrics.jsonl of the Forja run to compare with")
    parser.add_argument("--dtype", choices=("f32", "f64"), default="f32")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = read_settings(options.recipe, options.overrides)
    dtype = torch.float32 if options.dtype == "f32" else torch.float64
    if options.dtype == "f64":
        keep_norms_in_float64()
    model = AutoModelForCausalLM.from_pretrained(
        options.checkpoint, dtype=dtype, attn_implementation="sdpa").train()
    with open(options.batches) as file:
        batches = json.load(file)["batches"]
    end_of_text = model.config.eos_token_id if settings["data.document_mask"] else None
    result = replay(model, batches, settings, end_of_text, dtype)
    if options.metrics:
        result["distance_to_metrics"] = compare(result, options.metrics)
    print(json.dumps({"dtype": options.dtype, "settings": settings} | result))


if __name__ == "__main__":
    main()
