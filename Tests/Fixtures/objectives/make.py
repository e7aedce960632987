"""Makes the golden losses and gradients of this folder: each formula in PyTorch, float64, by autograd.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.15.0
    venv/bin/python Tests/Fixtures/objectives/make.py

Inputs are float32 numbers, so that a reader of either type starts from the same values. The formulas are written
from the papers, in the whole-tensor form of PyTorch, and share nothing with the Swift code but their names.
"""

import json
import pathlib

import torch
from torch.nn.functional import logsigmoid

FOLDER = pathlib.Path(__file__).resolve().parent
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def draw(generator, *shape, low, high):
    values = low + (high - low) * torch.rand(shape, generator=generator)
    return values.float().double()


def make_batch(seed, lengths, labels_per_sequence):
    """Sequences one after the other; the last labels_per_sequence[i] positions of sequence i are labels."""
    generator = torch.Generator().manual_seed(seed)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    sequences = [[s, s + n] for s, n in zip(starts, lengths)]
    count = sum(lengths)
    is_label = torch.zeros(count, dtype=torch.bool)
    for (start, end), n in zip(sequences, labels_per_sequence):
        is_label[end - n:end] = True
    logp = draw(generator, count, low=-6.0, high=-0.05).requires_grad_()
    near = lambda spread: (logp.detach() + draw(generator, count, low=-spread, high=spread)).float().double()
    return dict(
        generator=generator, sequences=sequences, is_label=is_label, logp=logp,
        reference=near(1.5), old=near(0.5), sampler=near(1.2),
        advantages=draw(generator, len(lengths), low=-2.0, high=2.0))


def finish(name, kind, settings, batch, loss, used):
    batch["logp"].grad = None
    loss.backward()
    case = {
        "name": name, "kind": kind, "settings": settings, "sequences": batch["sequences"],
        "is_label": batch["is_label"].tolist(), "log_probabilities": batch["logp"].tolist(),
        "loss": loss.item(), "gradient": batch["logp"].grad.tolist(),
    }
    for key in used:
        case[key] = batch[key].tolist()
    return case


def likelihood(batch, reduction):
    terms = -batch["logp"][batch["is_label"]]
    return terms.mean() if reduction == "mean" else terms.sum()


def preference(batch, loss, beta, gamma_ratio=0.0, smoothing=0.0):
    per_sequence = []
    for start, end in batch["sequences"]:
        mask = batch["is_label"][start:end]
        logp, reference = batch["logp"][start:end][mask], batch["reference"][start:end][mask]
        per_sequence.append(
            {"dpo": lambda: (logp - reference).sum(), "dpo_norm": lambda: (logp - reference).mean(),
             "simpo": lambda: logp.mean()}[loss]())
    scores = torch.stack(per_sequence)
    z = beta * (scores[0::2] - scores[1::2]) - (beta * gamma_ratio if loss == "simpo" else 0.0)
    return (-(1 - smoothing) * logsigmoid(z) - smoothing * logsigmoid(-z)).mean()


def grpo(batch, clip_low, clip_high, kl_weight, aggregation, constant, limit, uses_old):
    logp = batch["logp"]
    old = batch["old"] if uses_old else logp.detach()
    advantage = torch.zeros_like(logp)
    for (start, end), a in zip(batch["sequences"], batch["advantages"]):
        advantage[start:end] = a
    ratio = torch.exp(logp - old)
    term = torch.maximum(
        -advantage * ratio, -advantage * torch.clamp(ratio, 1 - clip_low, 1 + clip_high))
    if limit is not None:
        term = term * torch.clamp(torch.exp(old - batch["sampler"]), max=limit).detach()
    if kl_weight:
        d = batch["reference"] - logp
        term = term + kl_weight * (torch.exp(d) - d - 1)
    term = term * batch["is_label"]
    sums = torch.stack([term[s:e].sum() for s, e in batch["sequences"]])
    counts = torch.stack([batch["is_label"][s:e].sum() for s, e in batch["sequences"]]).double()
    return {
        "token_mean": lambda: sums.sum() / counts.sum(),
        "constant": lambda: (sums / constant).mean(),
        "sequence_mean": lambda: (sums / counts).mean(),
        "sequence_sum": lambda: sums.mean(),
    }[aggregation]()


def advantages(seed):
    generator = torch.Generator().manual_seed(seed)
    cases = []
    sets = [draw(generator, n, low=0.0, high=1.0) for n in (2, 3, 8, 16)]
    sets += [torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0]), torch.tensor([10.0, 0, 0, 0])]
    for rewards in sets:
        centred = rewards - rewards.mean()
        cases.append({
            "rewards": rewards.tolist(), "centred": centred.tolist(),
            "sample": (centred / (rewards.std(correction=1) + 1e-6)).tolist(),
            "population": (centred / (rewards.std(correction=0) + 1e-8)).tolist(),
        })
    return cases


def main():
    cases = []
    lengths, labels = [7, 5, 9, 4], [3, 5, 6, 1]

    def add(name, kind, settings, loss, used=()):
        batch = make_batch(len(cases) + 1, lengths, labels)
        cases.append(finish(name, kind, settings, batch, loss(batch), used))

    for reduction in ("mean", "sum"):
        add(f"likelihood {reduction}", "likelihood", {"reduction": reduction},
            lambda b: likelihood(b, reduction))
    for loss, beta, ratio, smoothing in [
        ("dpo", 0.1, 0.0, 0.0), ("dpo", 0.5, 0.0, 0.1), ("dpo_norm", 5.0, 0.0, 0.0),
        ("dpo_norm", 2.0, 0.0, 0.25), ("simpo", 2.0, 0.3, 0.0), ("simpo", 10.0, 0.5, 0.0),
    ]:
        add(f"{loss} beta {beta} smoothing {smoothing}", "preference",
            {"loss": loss, "beta": beta, "gamma_ratio": ratio, "smoothing": smoothing},
            lambda b: preference(b, loss, beta, ratio, smoothing), ["reference"])
    for low, high, kl, aggregation, constant, limit, uses_old in [
        (0.2, 0.2, 0.0, "token_mean", 0, None, False),
        (0.2, 0.28, 0.0, "token_mean", 0, None, True),
        (0.2, 0.2, 0.01, "token_mean", 0, None, True),
        (0.1, 0.3, 0.5, "token_mean", 0, 1.5, True),
        (0.2, 0.2, 0.0, "constant", 16, None, True),
        (0.2, 0.28, 0.1, "constant", 16, 2.0, False),
        (0.2, 0.2, 0.04, "sequence_mean", 0, None, True),
        (0.2, 0.2, 0.0, "sequence_sum", 0, 2.0, True),
    ]:
        used = ["advantages"] + ["old"] * uses_old + ["reference"] * (kl > 0)
        used += ["sampler"] * (limit is not None)
        add(f"grpo {aggregation} clip {low} {high} kl {kl} limit {limit}", "grpo",
            {"clip_low": low, "clip_high": high, "kl_weight": kl, "aggregation": aggregation,
             "constant": constant, "limit": limit},
            lambda b: grpo(b, low, high, kl, aggregation, constant, limit, uses_old), used)
    golden = {"torch": torch.__version__, "cases": cases, "advantages": advantages(100)}
    (FOLDER / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    for case in cases:
        print(f"{case['loss']:12.6f}  {case['name']}")


main()
