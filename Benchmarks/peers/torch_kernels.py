"""PyTorch beside `forja bench kernels`: products, attention and the bandwidth-bound operations.

    forja bench kernels --json | python torch_kernels.py [--device cpu|cuda] [--threads 2]

Attention is scaled_dot_product_attention with is_causal and enable_gqa; on a GPU in bf16 by PyTorch's
flash attention alone, where it takes the call. A backward pass is timed
alone, on a graph made beforehand. Operations that PyTorch lacks as one call (rope, the fused loss)
are left out. Needs torch. See rows.py for the format.
"""

import argparse
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import embedding, rms_norm, scaled_dot_product_attention, silu

import rows

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def matmul(shape, make):
    layout, m, n, k, adds = rows.product(shape)
    a = make(k, m).t() if layout == "tn" else make(m, k)
    b = make(n, k).t() if layout == "nt" else make(k, n)
    out = make(m, n)
    if adds:
        return lambda: out.addmm_(a, b)
    return lambda: torch.mm(a, b, out=out)


def attention_operands(shape, make, learns):
    batch, heads, groups, length, width = rows.attention(shape)
    return [make(batch, count, length, width).requires_grad_(learns)
            for count in (heads, groups, groups)]


def attend(q, k, v):
    def call():
        return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    if not q.is_cuda or q.dtype != torch.bfloat16:
        return call()
    try:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return call()
    except RuntimeError as error:
        print(f"not by flash attention: {str(error).splitlines()[0]}", file=sys.stderr)
        return call()


def attention_forward(shape, make):
    inputs = attention_operands(shape, make, False)
    return lambda: attend(*inputs)


def backward_of(output, inputs):
    slope = torch.randn_like(output)
    return lambda: torch.autograd.grad(output, inputs, slope, retain_graph=True)


def attention_backward(shape, make):
    inputs = attention_operands(shape, make, True)
    return backward_of(attend(*inputs), inputs)


def embedding_forward(shape, make):
    count, width = rows.sizes(shape)
    table = make(rows.table_rows(shape), width)
    ids = torch.randint(len(table), (count,), device=table.device)
    return lambda: embedding(ids, table)


def rmsnorm_forward(shape, make):
    count, width = rows.sizes(shape)
    x, weight = make(count, width), make(width)
    return lambda: rms_norm(x, (width,), weight, 1e-5)


def rmsnorm_backward(shape, make):
    count, width = rows.sizes(shape)
    x, weight = make(count, width).requires_grad_(), make(width).requires_grad_()
    return backward_of(rms_norm(x, (width,), weight, 1e-5), (x, weight))


def swiglu(x):
    gate, up = x.chunk(2, dim=-1)
    return silu(gate) * up


def swiglu_forward(shape, make):
    count, width = rows.sizes(shape)
    x = make(count, 2 * width)
    return lambda: swiglu(x)


def swiglu_backward(shape, make):
    count, width = rows.sizes(shape)
    x = make(count, 2 * width).requires_grad_()
    return backward_of(swiglu(x), (x,))


def softmax_forward(shape, make):
    x = make(*rows.sizes(shape))
    return lambda: torch.softmax(x, -1)


def softmax_backward(shape, make):
    x = make(*rows.sizes(shape)).requires_grad_()
    return backward_of(torch.softmax(x, -1), (x,))


def add(shape, make):
    a, b, out = (make(*rows.sizes(shape)) for _ in range(3))
    return lambda: torch.add(a, b, out=out)


def cast(shape, make):
    source = make(*rows.sizes(shape))
    destination = torch.empty_like(source, dtype=TYPES[shape.split()[2]])
    return lambda: destination.copy_(source)


def adamw(shape, make):
    parameter = torch.nn.Parameter(make(*rows.sizes(shape)))
    parameter.grad = make(*rows.sizes(shape))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.1, fused=True)
    return optimizer.step


OPERATIONS = {function.__name__: function for function in (
    matmul, attention_forward, attention_backward, embedding_forward, rmsnorm_forward,
    rmsnorm_backward, swiglu_forward, swiglu_backward, softmax_forward, softmax_backward, add,
    cast, adamw)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows.keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    on_gpu = options.device != "cpu"

    def make_call(row):
        # PyTorch's update rewrites no bf16 copy, and its norm adds to no other gradient.
        differs = (row["op"] == "adamw" and row["dtype"] != "f32") or (
            row["op"] == "rmsnorm_backward" and row["shape"].endswith("+="))
        if row["op"] not in OPERATIONS or row["dtype"] not in TYPES or differs:
            return None

        def make(*sizes):
            return torch.randn(*sizes, device=options.device, dtype=TYPES[row["dtype"]])

        return OPERATIONS[row["op"]](row["shape"], make)

    measured = rows.measure(
        rows.read(), make_call, torch.cuda.synchronize if on_gpu else lambda: None)
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {options.threads} threads"
    rows.finish("PyTorch", torch.__version__, device, measured)


if __name__ == "__main__":
    main()
