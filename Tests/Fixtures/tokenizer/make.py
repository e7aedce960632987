"""Makes the tokenizer fixtures with Hugging Face tokenizers; run from the repository root.

    venv/bin/pip install tokenizers==0.23.3
    venv/bin/python Tests/Fixtures/tokenizer/make.py
"""

import copy
import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def trained(size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    with open("examples/tinyshakespeare/input.txt", newline="") as file:
        text = file.read()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|end_of_text|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return json.loads(tokenizer.to_str())


def byte_level(space, regex):
    return {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True,
            "use_regex": regex}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": False}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(id, content, **options):
    return {"id": id, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True} | options


def template(before, after):
    def token(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    names = before | after
    return {"type": "TemplateProcessing",
            "single": [token(n) for n in before] + [text] + [token(n) for n in after],
            "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in names.items()}}


def variants(base):
    size = len(base["model"]["vocab"])

    llama3 = copy.deepcopy(base)
    llama3["added_tokens"].append(added(size, "<|begin_of_text|>"))
    llama3["post_processor"] = {"type": "Sequence", "processors": [
        byte_level(True, True), template({"<|begin_of_text|>": size}, {})]}
    llama3["model"]["merges"] = [" ".join(pair) for pair in base["model"]["merges"]]
    # A token that merges do not reach and ignore_merges finds.
    llama3["model"]["ignore_merges"] = True
    llama3["model"]["vocab"]["Ġunreachable"] = llama3["added_tokens"][1]["id"]
    llama3["added_tokens"][1]["id"] += 1
    llama3["post_processor"]["processors"][1] = template({"<|begin_of_text|>": size + 1}, {})

    gpt2 = copy.deepcopy(base)
    gpt2["pre_tokenizer"] = byte_level(True, True)
    gpt2["added_tokens"].append(added(size, "<x y>"))
    gpt2["post_processor"] = template({"<x y>": size}, {"<|end_of_text|>": 0})

    qwen2 = copy.deepcopy(base)
    qwen2["normalizer"] = {"type": "NFC"}
    qwen2["pre_tokenizer"] = sequence(split(LLAMA3.replace("{1,3}", "")), byte_level(False, False))
    qwen2["added_tokens"] += [
        added(size, "<L>", lstrip=True), added(size + 1, "<R>", rstrip=True),
        added(size + 2, "<W>", single_word=True, special=False),
        added(size + 3, "e\u0301!", normalized=True, special=False),
        added(size + 4, "<L><R>", special=False)]

    smollm2 = copy.deepcopy(base)
    smollm2["pre_tokenizer"] = sequence(
        {"type": "Digits", "individual_digits": True}, byte_level(False, True))
    # Bytes that no token spells: 0xC0, 0xC1 and those of some emoji.
    for byte in "ÀÁ\u00f0":
        del smollm2["model"]["vocab"][byte]
    ids = {old: new for new, old in enumerate(sorted(smollm2["model"]["vocab"].values()))}
    smollm2["model"]["vocab"] = {t: ids[i] for t, i in smollm2["model"]["vocab"].items()}

    characters = copy.deepcopy(base)
    vocabulary = {"<unk>": 0}
    for character in "\n !'.abcdefgh\u0301\u00e9\u4e2d":
        vocabulary[character] = len(vocabulary)
    merges = [["a", "b"], ["ab", "ab"], ["c", "d"], ["b", "cd"], ["ab", "cd"], ["\n", "\n"]]
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    characters |= {"added_tokens": [added(0, "<unk>")], "pre_tokenizer": None,
                   "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}]}}
    characters["model"] |= {"vocab": vocabulary, "merges": merges, "unk_token": "<unk>",
                            "fuse_unk": True}
    return {"llama3": llama3, "gpt2": gpt2, "qwen2": qwen2, "smollm2": smollm2,
            "characters": characters}


NASTY = [
    "", " ", "  ", "   a", "a   ", "\n", "\r\n", "a\r\nb\r\n\r\nc", " \n \n  x", "\t\tx\t", "\n\n  \n",
    "\u00a0x\u00a0\u00a0y", "a\u3000\u2003b", "x\u0085y\u2028z", "\u200b\u200bzero width", "\ufeffmark",
    "The king's horse, the queen'S crown; I'll we'Ve they'RE he'd I'm can't o'clock '' 's",
    "don\u2019t", "it'\u017f long s", "'\u017f", "'S'T'LL'VE'RE'M'D 'l 'v 'r'", "x'tall",
    "0123456789 12 345 6789 1,000,000.00 3.14e-10", "\u0663\u0664\u0665 \u00bd \u00b2 \u2167 \u4e8c",
    "\U00011de3\U00016ff4 late numbers", "!!!...???---___===///", " !a ,b .c", "a.\n\n\nb!\r\r", "(x)\n[y]\n{z}\n",
    "na\u00efve caf\u00e9 cafe\u0301 e\u0301!x", "\u1e9b\u0323 \u212b \u2126 \ufb01 \u0958 \u0344",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \uc77c\ubcf8\uc5b4",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8 \u4e2d\u6587\u6d4b\u8bd5",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac "
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea "
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "\U0001f680\U0001f999 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e7\U0001f1f7 "
    "\u2764\ufe0f \U0001f636\u200d\U0001f32b\ufe0f",
    "\ufffd\ufffd \u0000 \u0001\u007f", "\U0010ffff\uffff\ue000",
    "q\u0345\u0323\u0301\u0327", "\u0f73\u0323\U00010041\u0323",
    "<|end_of_text|>", "a<|end_of_text|>b", "<|end_of_text|><|end_of_text|>", "<|end_of_text", "<<|end_of_text|>>",
    "<|begin_of_text|> twice", " <L> x <R> y", "a  <L>  <R>  b", "<L><R>", "<W>", "a<W>", " <W> ", "<W>\u0301", "_<W>_",
    "x <W>, <W>", "<x y><x  y>", "<unk>", " unreachable", "unreachable unreachable",
    "abab abcd ababab bcd cdcd ddcc", "hhhxyzhh\n\n\n\n", "\u4e2da\u00e9e\u0301",
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
    " " * 70 + "x", "a" * 100, "ab" * 90, "\n" * 65, "\u0301" * 40, "the " * 30,
]


def random_texts(count):
    random.seed(20240607)
    pool = "\n\r\t '.,!-_09aAbBeEsStT\u017f\u00bd\u00e9\u0301\u0323\u00a0\u3000\u4e2d\U0001f680<>|"
    words = [" the", "'LL", "12345", "  ", "\r\n", "<W>", "<L>", "<R>", "<|end_of_text|>", "abcd"]
    for _ in range(count):
        yield "".join(random.choice(words) if random.random() < 0.2 else random.choice(pool)
                      for _ in range(random.randint(1, 24)))


def many_scalars():
    """Scalars between things that they may join or part: all up to kana, then every 13th."""
    scalars = [*range(0xD, 0x3100), *range(0x3100, 0x32400, 13)]
    return "".join(
        f"a{chr(c)}1 {chr(c)}.\n{chr(c)}\u0323" for c in scalars if not 0xD800 <= c < 0xE000)


def fingerprint(ids):
    """FNV-1a over the ids."""
    value = 0xCBF29CE484222325
    for id in ids:
        value = (value ^ id) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    write("trained.json", trained(600))
    rows = []
    fingerprints = {}
    for name, contents in variants(trained(320)).items():
        write(f"{name}.json", contents)
        tokenizer = Tokenizer.from_file(str(HERE / f"{name}.json"))
        fingerprints[name] = fingerprint(
            tokenizer.encode(many_scalars(), add_special_tokens=False).ids)
        for text in NASTY + list(random_texts(60)):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append({
                "tokenizer": name, "text": text, "ids": ids,
                "withSpecialTokens": tokenizer.encode(text).ids,
                "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        # Ids in any order: characters cut in two, bytes that never were text, no such id.
        for _ in range(40):
            ids = [random.randrange(tokenizer.get_vocab_size() + 2) for _ in range(12)]
            rows.append({
                "tokenizer": name, "ids": ids,
                "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                "decodedWithoutSpecialTokens": tokenizer.decode(ids)})
    write("fingerprints.json", fingerprints)
    with open(HERE / "cases.jsonl", "w") as file:
        for row in rows:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")


main()
