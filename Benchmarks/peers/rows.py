"""What the kernel peers share: the table to measure again, and how a call is timed.

A peer reads the document of `forja bench kernels --json` on standard input, measures the rows that
it can, and prints {"peer", "version", "device", "rows": [{"op", "shape", "dtype", "ms"}]}: the
same calls on the same machine, so that ratios mean something. A row that it cannot measure is
left out.

A shape is written as in Forja's table:

    nt 2048x768x256 +=    a product: layout, M×N×K; "+=" adds to what is there
    b4 h8 g4 t512 d64     attention: batch, query heads, key-value heads, length, head width
    2048x256              rows × width
    2048x256 of 4096      the same, looked up in a table of 4096 rows
    1048576               elements
"""

import ctypes
import json
import statistics
import sys
import time

BURSTS = 5
WARM_UP_SECONDS = 0.02
BURST_SECONDS = 0.04
LEAST_SAMPLE_SECONDS = 0.002


def keep_freed_memory():
    """Has glibc keep what is freed for the next call, as PyTorch's own allocator does on a GPU.

    By default a temporary of more than 128 kB is mapped anew for each call, and its page faults, not
    the operation, are what is measured. Elsewhere than on glibc nothing happens.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)


def read():
    """The rows of the document on standard input."""
    return json.load(sys.stdin)["rows"]


def product(shape):
    """Layout, m, n, k, and whether the product is added."""
    layout, sizes, *rest = shape.split()
    return (layout, *(int(size) for size in sizes.split("x")), rest == ["+="])


def attention(shape):
    """Batch, query heads, key-value heads, length and head width."""
    return tuple(int(word[1:]) for word in shape.split())


def sizes(shape):
    """The numbers of the first word: rows and width, or elements."""
    return tuple(int(size) for size in shape.split()[0].split("x"))


def table_rows(shape):
    """Rows of the table that an embedding looks up in."""
    return int(shape.split()[2])


def median_ms(call, wait=lambda: None):
    """Milliseconds of one `call`, the median of the calmest burst: as Forja times its own."""
    call()
    wait()
    return min(burst(call, wait) for _ in range(BURSTS)) * 1e3


def burst(call, wait):
    """The median of samples that repeat `call` for at least 2 ms each."""
    spent, fastest = 0.0, float("inf")
    while spent < WARM_UP_SECONDS:
        seconds = seconds_of(call, wait, 1)
        spent, fastest = spent + seconds, min(fastest, seconds)
    repeats = max(1, min(10_000, int(LEAST_SAMPLE_SECONDS / max(fastest, 1e-7)) + 1))
    samples, spent = [], 0.0
    while len(samples) < 2 or spent < BURST_SECONDS:
        seconds = seconds_of(call, wait, repeats)
        spent += seconds
        samples.append(seconds / repeats)
    return statistics.median(samples)


def seconds_of(call, wait, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait()
    return time.perf_counter() - start


def measure(rows, make_call, wait=lambda: None):
    """The rows for which `make_call(row)` gives a call and not None, with their times."""
    measured = []
    for row in rows:
        call = make_call(row)
        if call is None:
            continue
        key = {name: row[name] for name in ("op", "shape", "dtype")}
        measured.append(key | {"ms": median_ms(call, wait)})
        print(f"{row['op']} {row['shape']} {row['dtype']}: {measured[-1]['ms']:.3f} ms",
              file=sys.stderr)
    return measured


def finish(peer, version, device, measured):
    """Prints a peer's document."""
    print(json.dumps({"peer": peer, "version": version, "device": device, "rows": measured}))
