"""Makes ScalarClassRuns.swift by asking the regex engine of Hugging Face tokenizers about every scalar.

    venv/bin/pip install tokenizers==0.23.3
    venv/bin/python Tests/Fixtures/tokenizer/make-classes.py \\
        > Sources/ForjaFormats/Tokenizer/ScalarClassRuns.swift
"""

from tokenizers import Regex, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matches(pattern):
    removed = pre_tokenizers.Split(Regex(pattern), "removed")
    found = []
    for start in range(0, len(SCALARS), 20000):
        part = SCALARS[start:start + 20000]
        left = {ord(c) for piece, _ in removed.pre_tokenize_str("".join(map(chr, part))) for c in piece}
        found += [c for c in part if c not in left]
    return found


def runs(scalars):
    result = []
    for scalar in scalars:
        if result and result[-1][1] == scalar - 1:
            result[-1][1] = scalar
        else:
            result.append([scalar, scalar])
    return result


def table(name, pattern, noun):
    scalars = matches(pattern)
    lines = ["       "]
    for first, last in runs(scalars):
        entry = f" 0x{first:X}, 0x{last:X},"
        if len(lines[-1]) + len(entry) > 100:
            lines.append("       ")
        lines[-1] += entry
    return [
        f"    /// First and last scalar of each run of `{pattern}`, Unicode 16: {len(scalars)} {noun}.",
        f"    static let {name}: [UInt32] = [", *lines, "    ]"]


print("\n".join([
    "// Made by Tests/Fixtures/tokenizer/make-classes.py; not edited by hand.", "",
    "extension ScalarClass {",
    *table("letterRuns", r"\p{L}", "letters"), "",
    *table("numberRuns", r"\p{N}", "numbers"), "}"]))
