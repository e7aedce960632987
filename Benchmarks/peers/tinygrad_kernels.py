"""tinygrad beside `forja bench kernels`: float32 products through its OpenCL backend.

    forja bench kernels --device opencl --json | python tinygrad_kernels.py

The product is compiled once by TinyJit and then replayed. Needs tinygrad and numpy. See rows.py
for the format.
"""

import importlib.metadata

from tinygrad import Device, Tensor, TinyJit

import rows

DEVICE = "CL"


def make_call(row):
    if row["op"] != "matmul" or row["dtype"] != "f32":
        return None
    layout, m, n, k, adds = rows.product(row["shape"])
    a = Tensor.randn(*((k, m) if layout == "tn" else (m, k)), device=DEVICE).realize()
    b = Tensor.randn(*((n, k) if layout == "nt" else (k, n)), device=DEVICE).realize()
    c = Tensor.randn(m, n, device=DEVICE).realize()

    @TinyJit
    def multiply(a, b, c):
        left = a.transpose() if layout == "tn" else a
        right = b.transpose() if layout == "nt" else b
        product = left.dot(right)
        return (c.assign(c + product) if adds else product).realize()

    return lambda: multiply(a, b, c)


def main():
    measured = rows.measure(rows.read(), make_call, Device[DEVICE].synchronize)
    rows.finish("tinygrad", importlib.metadata.version("tinygrad"), DEVICE, measured)


if __name__ == "__main__":
    main()
