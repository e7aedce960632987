"""Greedy generation with a random Llama in transformers: the peer of `forja bench generate`.

    python torch_generate.py --shape small --batch 8 [--threads 2] [--repeats 3]

As there: prompts of 64 random tokens, 48 new ones for each, float32, keys and values cached. Runs
of 1 and of 48 new tokens are timed by turns; the first is `prefill_s`, and the difference counts
as the decoding of 47 tokens a text. No token ends a text.

Prints one JSON document: {"shape","batch","threads","prompt_tokens","new_tokens","prefill_s",
"decode_tokens_per_s",..}. Needs torch and transformers; versions are in the output.
"""

import argparse
import json
import platform
import statistics
import time

import torch
import transformers

from torch_step import SHAPES

PROMPT_TOKENS, NEW_TOKENS = 64, 48


def model_of(shape):
    config = transformers.LlamaConfig(
        vocab_size=shape["V"],
        hidden_size=shape["C"],
        num_hidden_layers=shape["L"],
        num_attention_heads=shape["H"],
        num_key_value_heads=shape["G"],
        intermediate_size=shape["F"],
        max_position_embeddings=shape["T"],
        tie_word_embeddings=True,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).float().eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = SHAPES[options.shape]
    model = model_of(shape)
    prompts = torch.randint(shape["V"], (options.batch, PROMPT_TOKENS))
    mask = torch.ones_like(prompts)

    def seconds(new_tokens):
        start = time.perf_counter()
        with torch.inference_mode():
            ids = model.generate(
                prompts,
                attention_mask=mask,
                do_sample=False,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
            )
        elapsed = time.perf_counter() - start
        assert ids.shape[1] == PROMPT_TOKENS + new_tokens
        return elapsed

    seconds(2)
    prefills, decodings = [], []
    for _ in range(options.repeats):
        prefills.append(seconds(1))
        decodings.append(seconds(NEW_TOKENS) - prefills[-1])
    print(
        json.dumps(
            {
                "shape": options.shape,
                "batch": options.batch,
                "threads": options.threads,
                "prompt_tokens": PROMPT_TOKENS,
                "new_tokens": NEW_TOKENS,
                "prefill_s": statistics.median(prefills),
                "decode_tokens_per_s": options.batch
                * (NEW_TOKENS - 1)
                / statistics.median(decodings),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    main()
