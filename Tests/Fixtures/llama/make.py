"""Makes the golden numbers of this folder: two tiny Llama models run by PyTorch and transformers.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.15.0 transformers==5.23.0 numpy safetensors
    venv/bin/python Tests/Fixtures/llama/make.py

Any CPU build of torch will do (`pip install torch --index-url` of PyTorch's CPU wheels is the
small one). Same versions and same machine: the same bytes. README.md one folder up lists what
is in each file.

Letters: B batch, T position, C model width, H query heads, G key-value heads, D head width,
F feed-forward width, V vocabulary, L layers.
"""

import copy
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

FOLDER = pathlib.Path(__file__).resolve().parent
BATCH, LENGTH, STEPS = 3, 24, 20
VOCABULARY = 96
IGNORED = -100

# Base 500 and an original context of 32 put all three regimes of the Llama 3.1 rule (wavelength
# kept below 8 positions, blended up to 32, divided above) among the D/2 pairs of either model.
ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
    rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1, rope_parameters=ROPE,
    attention_bias=False, mlp_bias=False,
)
MODELS = {
    # name: (what differs, seed)
    "tied": (dict(tie_word_embeddings=True), 1),
    "untied-wide-heads": (dict(tie_word_embeddings=False, head_dim=12), 2),
}
OPTIMIZER = dict(
    learning_rate=3e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1,
    weight_decay_on="matrices", max_norm=1.0,
)


def make_model(overrides, seed):
    """Random weights: std 0.2 in matrices so that logits are far from flat, norms around 1."""
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, **overrides, attn_implementation="sdpa"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if parameter.dim() == 1 else 0.2 * noise)
    return model.float().eval()


def make_sequences(generator, count):
    """Ids [count, T + 1] of a learnable walk: the next id is 5·id + 0...3 modulo V, mostly."""
    ids = torch.randint(VOCABULARY, (count, 1), generator=generator)
    for _ in range(LENGTH):
        step = torch.randint(4, (count, 1), generator=generator)
        stray = torch.randint(VOCABULARY, (count, 1), generator=generator)
        keep = torch.rand((count, 1), generator=generator) < 0.9
        ids = torch.cat([ids, torch.where(keep, (5 * ids[:, -1:] + step) % VOCABULARY, stray)], 1)
    return ids


def make_batch(generator):
    """Ids and labels [B, T]: labels[b, t] is the id after ids[b, t], or -100 for one in five."""
    sequences = make_sequences(generator, BATCH)
    ids, labels = sequences[:, :-1].contiguous(), sequences[:, 1:].clone()
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORED
    return ids, labels


def run(model, ids, labels, mask=None):
    """Logits [B, T, V] and the mean negative log-likelihood over the labels that are not -100."""
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return logits, cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def gradients(model, ids, labels, mask=None):
    model.zero_grad(set_to_none=True)
    logits, loss = run(model, ids, labels, mask)
    loss.backward()
    return logits.detach(), loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}


def pack(ids, labels, lengths):
    """Documents of the given lengths per row: starts [B, T], labels without the boundary ones, and
    the additive mask [B, 1, T, T] that lets position i see j when start(i) <= j <= i."""
    starts = torch.zeros_like(ids)
    labels = labels.clone()
    for row, row_lengths in enumerate(lengths):
        assert sum(row_lengths) == LENGTH
        at = 0
        for length in row_lengths:
            starts[row, at:at + length] = at
            at += length
            labels[row, at - 1] = IGNORED
    query, key = torch.arange(LENGTH)[:, None], torch.arange(LENGTH)[None, :]
    visible = (key <= query) & (key >= starts[:, :, None])
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    return starts, labels, mask[:, None]


def train(model, batches):
    """Losses and gradient norms (before clipping) of one AdamW step per batch."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": OPTIMIZER["weight_decay"]},
         {"params": norms, "weight_decay": 0.0}],
        lr=OPTIMIZER["learning_rate"], betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
        eps=OPTIMIZER["epsilon"], foreach=False)
    losses, gradient_norms = [], []
    for ids, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = run(model, ids, labels)[1]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["max_norm"])
        optimizer.step()
        losses.append(loss.item())
        gradient_norms.append(norm.item())
    return losses, gradient_norms


class DoubleNorm:
    """Inside `with`, transformers' RMSNorm keeps float64 inputs in float64 instead of float32, so
    that a model in float64 is float64 everywhere but in the rotary table."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)
                                             + self.variance_epsilon)

    def __enter__(self):
        self.original = modeling_llama.LlamaRMSNorm.forward
        modeling_llama.LlamaRMSNorm.forward = DoubleNorm.forward

    def __exit__(self, *_):
        modeling_llama.LlamaRMSNorm.forward = self.original


def largest_difference(ours, theirs):
    return max((ours[n].double() - theirs[n]).abs().max().item() for n in ours)


def make(name, overrides, seed):
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    model = make_model(overrides, seed)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    generator = torch.Generator().manual_seed(seed + 100)
    ids, labels = make_batch(generator)
    logits, loss, gradient = gradients(model, ids, labels)
    lengths = [[24], [5, 1, 11, 7], [1, 1, 14, 8]]
    starts, packed_labels, mask = pack(ids, labels, lengths)
    packed_logits, packed_loss, packed_gradient = gradients(model, ids, packed_labels, mask)
    batches = [make_batch(generator) for _ in range(STEPS)]

    double = copy.deepcopy(model).double()
    with DoubleNorm():
        logits64, loss64, gradient64 = gradients(double, ids, labels)
        packed_logits64, packed_loss64, packed_gradient64 = gradients(
            double, ids, packed_labels, mask.double())
        losses64, norms64 = train(double, batches)
    losses, norms = train(model, batches)

    tensors = {"logits": logits, "packed.logits": packed_logits}
    integers = {
        "ids": ids, "labels": labels, "packed.labels": packed_labels,
        "packed.document_start": starts,
        "steps.ids": torch.stack([b[0] for b in batches]),
        "steps.labels": torch.stack([b[1] for b in batches]),
    }
    tensors |= {k: v.to(torch.int32) for k, v in integers.items()}
    tensors |= {f"gradient.{n}": g for n, g in gradient.items()}
    tensors |= {f"packed.gradient.{n}": g for n, g in packed_gradient.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")

    golden = {
        "made_by": "Tests/Fixtures/llama/make.py",
        "versions": {"python": sys.version.split()[0], "torch": torch.__version__,
                     "transformers": transformers.__version__},
        "seed": seed,
        "loss": loss.item(),
        "label_count": int((labels != IGNORED).sum()),
        "packed_loss": packed_loss.item(),
        "packed_label_count": int((packed_labels != IGNORED).sum()),
        "packed_document_lengths": lengths,
        "optimizer": OPTIMIZER,
        "step_losses": losses,
        "step_gradient_norms": norms,
        "float64": {
            "loss": loss64.item(),
            "packed_loss": packed_loss64.item(),
            "step_losses": losses64,
            "step_gradient_norms": norms64,
        },
        "largest_difference_float32_float64": {
            "logits": (logits.double() - logits64).abs().max().item(),
            "gradient": largest_difference(gradient, gradient64),
            "packed_logits": (packed_logits.double() - packed_logits64).abs().max().item(),
            "packed_gradient": largest_difference(packed_gradient, packed_gradient64),
            "step_losses": max(abs(a - b) for a, b in zip(losses, losses64)),
        },
    }
    (folder / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")
    print(name, json.dumps({k: golden[k] for k in ("loss", "packed_loss")}),
          json.dumps(golden["largest_difference_float32_float64"]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, (overrides, seed) in MODELS.items():
        make(name, overrides, seed)
