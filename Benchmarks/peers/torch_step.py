"""One training step of a Llama in PyTorch eager mode: the peer of `forja bench step`.

    python torch_step.py --shape small [--dtype f32|bf16] [--device cpu|cuda] [--threads 2]
        [--repeats 7] [--implementation NAME]

A step is forward, backward, clip at 1.0 and fused AdamW on random tokens, tied head, no recompute:
what `forja bench step` does. bf16 is autocast over float32 weights, as Forja's bf16 copies and
activations stand beside float32 master weights; products of f32 are full float32 (no TF32). The time is the median after two warm-ups. Two models are
timed, each in a process of its own, and the faster one is printed: transformers' LlamaForCausalLM
(attn_implementation="sdpa") and a minimal Llama written here, with fused projections.

Prints one JSON document: {"shape","implementation","tokens_per_s","flops_per_s",
"peak_product_flops_per_s","mfu","peak_rss_bytes",..,"other"}. FLOPs per token = 6 × (parameters used
in a matmul, tied head once) + 6·L·H·D·T. The peak is the best of six products by torch.mm in
the same process: 1536³ in f32 on a CPU, 8192³ in the type of --dtype on a GPU. `peak_rss_bytes` includes Python and PyTorch, about 0.4 GB before any model.

Needs torch and transformers; versions are in the output.
"""

import argparse
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, rms_norm, scaled_dot_product_attention, silu

SHAPES = {
    "small": dict(C=256, L=6, H=8, G=4, F=768, V=4096, B=8, T=256),
    "medium": dict(C=512, L=8, H=8, G=4, F=1536, V=16384, B=4, T=512),
    "smollm": dict(C=576, L=30, H=9, G=3, F=1536, V=49152, B=1, T=512),
    "llama-1b": dict(C=2048, L=16, H=32, G=8, F=8192, V=128256, B=4, T=2048),
}
IMPLEMENTATIONS = ("transformers", "minimal")
WARM_UPS = 2


def flops_per_token(s):
    head_dim = s["C"] // s["H"]
    attention = s["C"] * (s["H"] + 2 * s["G"]) * head_dim + s["H"] * head_dim * s["C"]
    matrices = s["L"] * (attention + 3 * s["C"] * s["F"]) + s["V"] * s["C"]
    return 6 * matrices + 6 * s["L"] * s["H"] * head_dim * s["T"]


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.heads, self.groups, self.head_dim = s["H"], s["G"], s["C"] // s["H"]
        width = s["C"]
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.mlp_norm = nn.Parameter(torch.ones(width))
        self.qkv = nn.Linear(width, (self.heads + 2 * self.groups) * self.head_dim, bias=False)
        self.output = nn.Linear(self.heads * self.head_dim, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * s["F"], bias=False)
        self.down = nn.Linear(s["F"], width, bias=False)

    def forward(self, x, cosine, sine):
        batch, length, width = x.shape
        qkv = self.qkv(rms_norm(x, (width,), self.attention_norm, 1e-5))
        qkv = qkv.view(batch, length, -1, self.head_dim).transpose(1, 2)
        turned, v = qkv.split([self.heads + self.groups, self.groups], dim=1)
        first, second = turned.chunk(2, dim=-1)
        turned = turned * cosine + torch.cat([-second, first], dim=-1) * sine
        q, k = turned.split([self.heads, self.groups], dim=1)
        # Repeating the key-value heads keeps torch on its flash kernel for CPUs, which
        # enable_gqa=True may not.
        repeats = self.heads // self.groups
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(rms_norm(x, (width,), self.mlp_norm, 1e-5)).chunk(2, dim=-1)
        return x + self.down(silu(gate) * up)


class MinimalLlama(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.embedding = nn.Embedding(s["V"], s["C"])
        self.blocks = nn.ModuleList(Block(s) for _ in range(s["L"]))
        self.norm = nn.Parameter(torch.ones(s["C"]))
        head_dim = s["C"] // s["H"]
        frequency = 10000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)
        angle = torch.outer(torch.arange(s["T"]), frequency).repeat(1, 2)
        self.cosine, self.sine = angle.cos(), angle.sin()
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        x = rms_norm(x, (x.shape[-1],), self.norm, 1e-5)
        return linear(x, self.embedding.weight)


def make_model(implementation, s):
    if implementation == "minimal":
        return MinimalLlama(s)
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=s["V"], hidden_size=s["C"], intermediate_size=s["F"], num_hidden_layers=s["L"],
        num_attention_heads=s["H"], num_key_value_heads=s["G"], max_position_embeddings=s["T"],
        tie_word_embeddings=True, attn_implementation="sdpa"))

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids):
            return self.model(input_ids=ids, use_cache=False).logits

    return Logits()


def wait(device):
    if device != "cpu":
        torch.cuda.synchronize(device)


def measure_peak(device, dtype):
    """FLOP/s of a large square product, the best of six: f32 on a CPU, `dtype` on a GPU."""
    on_gpu = device != "cpu"
    side = 8192 if on_gpu else 1536
    kind = torch.bfloat16 if on_gpu and dtype == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    torch.mm(a, b)
    times = []
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        torch.mm(a, b)
        wait(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def measure(implementation, name, dtype, device, threads, repeats):
    s = SHAPES[name]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    peak = measure_peak(device, dtype)
    model = make_model(implementation, s).float().to(device).train()
    if implementation == "minimal":
        model.cosine, model.sine = model.cosine.to(device), model.sine.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(s["V"], (s["B"], s["T"] + 1), device=device)
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].flatten()
    times = []
    for _ in range(WARM_UPS + repeats):
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"):
            loss = cross_entropy(model(inputs).flatten(0, 1), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        times.append(time.perf_counter() - start)
        if not math.isfinite(value):
            sys.exit(f"loss is {value}")
    times = times[WARM_UPS:]
    # The machine's speed may drift during a run: the better of the two peaks is the honest one.
    peak = max(peak, measure_peak(device, dtype))
    tokens_per_s = s["B"] * s["T"] / statistics.median(times)
    flops_per_s = tokens_per_s * flops_per_token(s)
    return {
        "shape": name,
        "implementation": implementation,
        "tokens_per_s": tokens_per_s,
        "flops_per_s": flops_per_s,
        "peak_product_flops_per_s": peak,
        "mfu": flops_per_s / peak if dtype == "f32" or device != "cpu" else None,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "step_seconds": {"median": statistics.median(times), "least": min(times),
                         "most": max(times), "count": len(times)},
        "dtype": dtype,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "threads": threads,
        "cpu": cpu_name(),
        "torch": torch.__version__,
    }


def cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            pairs = (line.split(":", 1) for line in lines if ":" in line)
            fields = {key.strip(): value.strip() for key, value in pairs}
        flags = fields["flags"].split()
        wide = [f for f in ("avx2", "avx512f", "amx_bf16") if f in flags]
        return f"{fields['model name']} ({' '.join(wide)})"
    except (OSError, KeyError):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS,
                        help="time this one alone, in this process")
    options = parser.parse_args()
    if options.repeats < 5:
        parser.error("--repeats: at least 5, so that the median means something")
    if options.implementation:
        print(json.dumps(
            measure(options.implementation, options.shape, options.dtype, options.device,
                    options.threads, options.repeats)))
        return
    results = []
    for implementation in IMPLEMENTATIONS:
        done = subprocess.run(
            [sys.executable, __file__, "--implementation", implementation, "--shape",
             options.shape, "--dtype", options.dtype, "--device", options.device, "--threads",
             str(options.threads), "--repeats", str(options.repeats)],
            stdout=subprocess.PIPE, text=True)
        if done.returncode == 0:
            results.append(json.loads(done.stdout))
        else:
            print(f"{implementation} is left out: exit {done.returncode}", file=sys.stderr)
    if not results:
        sys.exit("neither implementation ran")
    results.sort(key=lambda r: -r["tokens_per_s"])
    print(json.dumps(results[0] | {"other": results[1:]}, indent=2))


if __name__ == "__main__":
    main()
