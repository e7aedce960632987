"""Makes the golden chats of this folder: texts, ids and answer masks by transformers' apply_chat_template.

    python3.11 -m venv venv
    venv/bin/pip install transformers==5.23.0 tokenizers==0.23.3
    venv/bin/python Tests/Fixtures/chat/make.py

Same versions: the same bytes.
"""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

FOLDER = pathlib.Path(__file__).resolve().parent
TEXT = FOLDER.parents[2] / "examples" / "tinyshakespeare" / "input.txt"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = [
    "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "<|im_start|>", "<|im_end|>",
]

# The templates as the models publish them: Tülu 3's, Llama 3's, and ChatML plain and with the default
# system message of Qwen2.
CHATML = (
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TEMPLATES = {
    "tulu": (
        "{% for message in messages %}{% if message['role'] == 'system' %}"
        "{{ '<|system|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'user' %}"
        "{{ '<|user|>\\n' + message['content'] + '\\n' }}{% elif message['role'] == 'assistant' %}"
        "{% if not loop.last %}{{ '<|assistant|>\\n'  + message['content'] + eos_token + '\\n' }}{% else %}"
        "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
        "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}{% endfor %}"
    ),
    "llama3.1": (
        "{% set loop_messages = messages %}{% for message in loop_messages %}"
        "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
        "+ message['content'] | trim + '<|eot_id|>' %}"
        "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "chatml": "{% for message in messages %}" + CHATML,
    "chatml-default-system": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}" + CHATML
    ),
}
# The same with answers marked for return_assistant_tokens_mask; asserted below to write the same text.
MARKED = {
    "tulu": TEMPLATES["tulu"]
    .replace(
        "{{ '<|assistant|>\\n'  + message['content'] + eos_token + '\\n' }}",
        "{{ '<|assistant|>\\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n' }}")
    .replace(
        "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}",
        "{{ '<|assistant|>\\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"),
    "llama3.1": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}"
        "{% endgeneration %}{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    ),
}
for name in ("chatml", "chatml-default-system"):
    MARKED[name] = TEMPLATES[name].replace(
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}",
        "{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
        "{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}")


def chat(*turns):
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[r], "content": c} for r, c in turns]


CHATS = [
    chat(("u", "What is 57 + 68?"), ("a", "7 + 8 = 15\n5 + 6 + 1 = 12\n#### 125")),
    chat(("s", "Be brief."), ("u", "Who speaks?"), ("a", "Romeo."), ("u", "And now?"), ("a", "Juliet.")),
    chat(("u", "One"), ("a", "Two"), ("u", "Three"), ("a", "Four"), ("u", "Five"), ("a", "Six")),
    chat(("s", "  spaces around  "), ("u", " leading"), ("a", " leading and trailing \n")),
    chat(("u", "line\n\nfeeds\n"), ("a", "ends with feeds\n\n")),
    chat(("u", "tab\t\tand é, 漢字, 🙂"), ("a", "don't 12345 — “quoted” naïve")),
    chat(("u", "only a question")),
    chat(("s", "A system message alone with a question"), ("u", "\n\n\nfeeds before")),
    chat(("a", "The model speaks first."), ("u", "so?"), ("a", "So.")),
    chat(("u", "a < b |> c <|user|> not a marker"), ("a", "<|assistant|>\nnor this")),
]


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    # The markers of Tülu among the text, so that merges would cross their edges if they could.
    text = TEXT.read_text()[:200_000] + "<|user|>\n<|assistant|>\n<|system|>\n" * 200
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(FOLDER / "tokenizer.json"), pretty=False)


def main():
    make_tokenizer()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(FOLDER / "tokenizer.json"), bos_token="<|begin_of_text|>",
        eos_token="<|endoftext|>")
    rows = []
    for name, template in TEMPLATES.items():
        for messages in CHATS:
            def apply(template, **options):
                return tokenizer.apply_chat_template(messages, chat_template=template, **options)

            text = apply(template, tokenize=False)
            assert text == apply(MARKED[name], tokenize=False), (name, messages)
            marked = apply(
                MARKED[name], tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            ids = apply(template, tokenize=True, return_dict=True)["input_ids"]
            assert ids == marked["input_ids"]
            prompt = dict(tokenize=True, return_dict=True, add_generation_prompt=True)
            rows.append({
                "template": name, "messages": messages, "text": text, "ids": ids,
                "mask": marked["assistant_masks"],
                "prompt_text": apply(template, tokenize=False, add_generation_prompt=True),
                "prompt_ids": apply(template, **prompt)["input_ids"],
            })
    with open(FOLDER / "chats.jsonl", "w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    (FOLDER / "templates.json").write_text(json.dumps(TEMPLATES, indent=1) + "\n")


main()
