"""CLBlast beside `forja bench kernels`: float32 products on the same OpenCL device.

    forja bench kernels --device opencl --json | python clblast_kernels.py [--device 0]

Needs pyopencl, numpy and the shared library of CLBlast (Debian: libclblast1). See rows.py for the
format.
"""

import argparse
import ctypes
import ctypes.util

import numpy
import pyopencl

import rows

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # CLBlastLayout, CLBlastTranspose


def load():
    name = ctypes.util.find_library("clblast")
    if not name:
        raise SystemExit("libclblast is not installed; on Debian: apt-get install libclblast1")
    library = ctypes.CDLL(name)
    size, real, handle = ctypes.c_size_t, ctypes.c_float, ctypes.c_void_p
    library.CLBlastSgemm.argtypes = (
        [ctypes.c_int] * 3 + [size] * 3 + [real] + [handle, size, size] * 2
        + [real] + [handle, size, size] + [ctypes.POINTER(handle), handle])
    return library


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="", help="its name, as forja prints it")
    options = parser.parse_args()
    devices = [d for platform in pyopencl.get_platforms() for d in platform.get_devices()]
    named = [d for d in devices if d.name.strip() == options.device] or devices
    if not named:
        raise SystemExit("there is no OpenCL device")
    device = named[0]
    context = pyopencl.Context([device])
    queue = pyopencl.CommandQueue(context)
    library = load()

    def make_call(row):
        if row["op"] != "matmul" or row["dtype"] != "f32":
            return None
        layout, m, n, k, adds = rows.product(row["shape"])
        random = numpy.random.default_rng(0)

        def buffer(count):
            values = random.standard_normal(count, dtype=numpy.float32)
            return pyopencl.Buffer(
                context, pyopencl.mem_flags.COPY_HOST_PTR, hostbuf=values)

        a, b, c = buffer(m * k), buffer(n * k), buffer(m * n)
        handle = ctypes.c_void_p(queue.int_ptr)

        def call():
            status = library.CLBlastSgemm(
                ROW_MAJOR, TRANSPOSED if layout == "tn" else PLAIN,
                TRANSPOSED if layout == "nt" else PLAIN, m, n, k, 1.0,
                a.int_ptr, 0, m if layout == "tn" else k,
                b.int_ptr, 0, k if layout == "nt" else n, float(adds), c.int_ptr, 0, n,
                ctypes.byref(handle), None)
            if status != 0:
                raise SystemExit(f"CLBlastSgemm gives {status} for {row['shape']}")

        return call

    measured = rows.measure(rows.read(), make_call, queue.finish)
    rows.finish("CLBlast", "as installed", device.name.strip(), measured)


if __name__ == "__main__":
    main()
