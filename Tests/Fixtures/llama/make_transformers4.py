"""Makes the `transformers4` folders: the models of make.py as transformers 4 itself writes them.

    python3.11 -m venv venv4
    venv4/bin/pip install torch==2.13.0 transformers==4.51.3 numpy safetensors
    venv4/bin/python Tests/Fixtures/llama/make_transformers4.py

Run after make.py, whose weights and golden logits it reads: transformers 4 must give those logits
again before anything is written. README.md one folder up lists what is in each file.
"""

import json
import pathlib
import shutil
import tempfile

import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from make import FOLDER, MODELS, OPTIMIZER, ROPE, SHAPE, VOCABULARY, train

# A context of T characters and the end of text make the one window of T + 1 tokens that there is.
TEXT = "the forge is hot, so be "
PROMPT = "what light"
NEW_TOKENS, STEPS = 24, 3


def load(name, overrides):
    """A model of make.py, its shape said in the words of transformers 4."""
    shape = {k: v for k, v in SHAPE.items() if k != "rope_parameters"}
    scaling = {k: v for k, v in ROPE.items() if k != "rope_theta"}
    config = LlamaConfig(
        **shape, **overrides, rope_theta=ROPE["rope_theta"], rope_scaling=scaling,
        attn_implementation="sdpa")
    model = LlamaForCausalLM(config).float().eval()
    model.load_state_dict(load_file(FOLDER / name / "model.safetensors"), strict=False)
    model.tie_weights()
    golden = load_file(FOLDER / name / "golden.safetensors")
    with torch.no_grad():
        difference = (model(input_ids=golden["ids"].long()).logits - golden["logits"]).abs().max()
    assert difference < 1e-5, f"{name}: logits differ by {difference}"
    return model


def make_tokenizer():
    """One token a character, between the two that begin and end a text."""
    characters = ["\n"] + [chr(c) for c in range(32, 127) if chr(c) not in "`~"]
    names = ["<s>", "</s>"] + characters
    assert len(names) == VOCABULARY
    tokenizer = Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>",
        clean_up_tokenization_spaces=False)


def check_single_file(model, name):
    """transformers 4 writes one file with the bytes of make.py's, so that it is not stored twice."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        single = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    assert single == (FOLDER / name / "model.safetensors").read_bytes(), name


def make(name, overrides):
    folder = FOLDER / name / "transformers4"
    shutil.rmtree(folder, ignore_errors=True)
    model = load(name, overrides)
    check_single_file(model, name)
    model.save_pretrained(folder, max_shard_size="32KB")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)

    prompt = tokenizer(PROMPT)["input_ids"]
    ids = torch.tensor([prompt])
    with torch.no_grad():
        greedy = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=1)
    window = torch.tensor([tokenizer(TEXT, add_special_tokens=False)["input_ids"] + [1]])
    losses, norms = train(model, [(window[:, :-1], window[:, 1:])] * STEPS)
    golden = {
        "made_by": "Tests/Fixtures/llama/make_transformers4.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "prompt": PROMPT, "prompt_ids": prompt, "generated_ids": greedy[0, len(prompt):].tolist(),
        "text": TEXT, "optimizer": OPTIMIZER, "step_losses": losses, "step_gradient_norms": norms,
    }
    (folder / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")
    print(name, sorted(p.name for p in folder.iterdir()), losses)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, (overrides, _) in MODELS.items():
        make(name, overrides)
