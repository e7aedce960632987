"""One table: `forja bench kernels` and its peers on the same calls of the same machine.

    python compare_kernels.py [--forja .build/release/forja] [--device cpu|opencl|opencl:N]
        [--shape small]... [--op matmul]... [--product 8192x8192x8192]... [--dtype f32] [--threads 2]
        [--peers torch,clblast,tinygrad] [--json FILE] [--markdown FILE]

Without --shape, small, medium and smollm are measured one after another, and without --op, every
operation; with --product, those products and no step's operations. Forja and the peers run in turn, each in a process of its own. The number beside a peer
is its time over Forja's: above 1, Forja is faster; a closing line gives the geometric mean and the
least, with its shape. OpenBLAS runs inside Forja's process. A peer that is not there is named and
left out. --prefix puts a command in front of every measurement, such as "nice -n -20".
"""

import argparse
import json
import math
import os
import pathlib
import platform
import shlex
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent
SHAPES = ["small", "medium", "smollm"]  # llama-1b, of 24 GB and more, when named


def run(command, options, text=None):
    """The JSON that a command prints; None when it fails."""
    result = subprocess.run(
        shlex.split(options.prefix) + command, input=text, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout) if result.returncode == 0 else None


def measure_forja(shape, options):
    command = [options.forja, "bench", "kernels", "--json", "--device", options.device,
               *([] if options.product else ["--shape", shape]), "--dtype", options.dtype, "--threads", str(options.threads)]
    for op in options.op:
        command += ["--op", op]
    for product in options.product:
        command += ["--product", product]
    return run(command, options) or sys.exit("forja bench kernels failed: see above")


def measure_peer(name, forja, options):
    command = [sys.executable, str(FOLDER / f"{name}_kernels.py")]
    if name == "torch":
        command += ["--device", options.torch_device, "--threads", str(options.threads)]
    if name == "clblast":
        command += ["--device", forja["device"]]
    document = run(command, options, json.dumps(forja))
    if document is None:
        print(f"{name} is not measured: see above", file=sys.stderr)
        return {"peer": name, "version": "not there", "device": "", "rows": []}
    return document


def key(row):
    return row["op"], row["shape"], row["dtype"]


def openblas(forja):
    """What Forja measured in its own process, as one more peer."""
    rows = [dict(row, ms=row["openblas_ms"]) for row in forja["rows"] if row.get("openblas_ms")]
    return {"peer": "OpenBLAS", "version": "of this build", "device": "CPU", "rows": rows}


def ratios(forja, peer):
    """The peer's time over Forja's, by row."""
    times = {key(row): row["ms"] for row in peer["rows"]}
    return {key(row): times[key(row)] / row["ms"] for row in forja["rows"] if key(row) in times}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def line(cells):
    return "| " + " | ".join(cells) + " |"


def scaled(value, form, scale=1.0):
    return "" if value is None else form.format(value * scale)


def table(forja, peers):
    """The rows, with a column for each peer."""
    head = ["op", "shape", "type", "variant", "ms", "GFLOP/s", "GB/s", "of peak", "error"]
    lines = [line(head + [peer["peer"] for peer in peers]), "|" + " --- |" * (9 + len(peers))]
    columns = [ratios(forja, peer) for peer in peers]
    for row in forja["rows"]:
        fraction = row["fraction_of_peak"]
        cells = [row["op"], row["shape"], row["dtype"], row["variant"], f"{row['ms']:.3f}",
                 scaled(row["flops_per_s"], "{:.1f}", 1e-9),
                 scaled(row["bytes_per_s"], "{:.1f}", 1e-9),
                 "n/a" if fraction is None else f"{fraction * 100:.0f} %", f"{row['error']:.1e}"]
        lines.append(line(cells + [scaled(column.get(key(row)), "{:.2f}") for column in columns]))
    return lines


def summary(forja, peers):
    """One line an operation: fraction of peak, and for each peer geometric mean and least."""
    head = ["op", "rows", "of peak", "least"]
    lines = [line(head + [peer["peer"] for peer in peers]), "|" + " --- |" * (4 + len(peers))]
    columns = [ratios(forja, peer) for peer in peers]
    for op in dict.fromkeys(row["op"] for row in forja["rows"]):
        rows = [row for row in forja["rows"] if row["op"] == op]
        fractions = [row["fraction_of_peak"] for row in rows if row["fraction_of_peak"]]
        cells = [op, str(len(rows))]
        cells += ([f"{geometric_mean(fractions) * 100:.0f} %", f"{min(fractions) * 100:.0f} %"]
                  if len(fractions) == len(rows) else ["n/a", "n/a"])
        for column in columns:
            found = {name[1]: ratio for name, ratio in column.items() if name[0] == op}
            if found:
                least = min(found, key=found.get)
                cells.append(
                    f"{geometric_mean(found.values()):.2f} (least {found[least]:.2f}: {least})")
            else:
                cells.append("")
        lines.append(line(cells))
    return lines


def processor():
    """The host processor's name."""
    try:
        for text in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                return text.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def section(shape, forja, peers):
    peaks = forja["peaks"]
    return [f"## {shape}", "",
            f"Peaks: {peaks['flops_per_s'] / 1e9:.1f} GFLOP/s of multiply-adds, "
            f"{peaks['bytes_per_s'] / 1e9:.1f} GB/s of a large copy.", "",
            *summary(forja, peers), "", *table(forja, peers), ""]


def header(forja, peers, options):
    """What ran on what; no date, so that equal runs give equal headers."""
    lines = [f"# Kernels on {forja['device']}", "",
             f"Host: {processor()}, {os.cpu_count()} cores, {platform.system()} "
             f"{platform.machine()}. Forja with {forja['threads']} threads, "
             f"{options.dtype}.", ""]
    lines += [f"- {peer['peer']} {peer['version']}" + (f" on {peer['device']}" if peer["device"]
                                                       else "") for peer in peers]
    return lines + ["", "The number under a peer is its time over Forja's: above 1, Forja is "
                    "faster. What a row means: docs/benchmarks.md.", ""]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forja", default=".build/release/forja")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--torch-device", default="cpu", help="cpu or cuda")
    parser.add_argument("--shape", action="append", choices=SHAPES + ["llama-1b"], default=[])
    parser.add_argument("--op", action="append", default=[])
    parser.add_argument("--product", action="append", default=[], help="MxNxK")
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", default="", help="torch, clblast, tinygrad; what suits --device")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--json", type=pathlib.Path, help="also write every number here")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the tables here, not to output")
    options = parser.parse_args()
    names = options.peers or ("torch" if options.device == "cpu" else "torch,clblast,tinygrad")
    results = []
    for shape in ["products"] if options.product else options.shape or SHAPES:
        forja = measure_forja(shape, options)
        peers = [openblas(forja)] + [
            measure_peer(name, forja, options) for name in names.split(",")]
        results.append((shape, forja, [p for p in peers if p["rows"] or p["peer"] != "OpenBLAS"]))
    text = "\n".join(header(results[0][1], results[0][2], options)
                     + [part for result in results for part in section(*result)])
    if options.markdown:
        options.markdown.write_text(text)
    else:
        print(text)
    if options.json:
        options.json.write_text(json.dumps(
            [{"shape": shape, "forja": forja, "peers": peers} for shape, forja, peers in results],
            indent=1) + "\n")


if __name__ == "__main__":
    main()
