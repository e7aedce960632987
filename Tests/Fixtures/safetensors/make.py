"""Safetensors files by the Python libraries, for Tests/ForjaFormatsTests/SafetensorsTests.swift.

    python3.11 -m venv venv
    venv/bin/pip install torch==2.15.0 safetensors==0.8.0 huggingface_hub numpy
    venv/bin/python Tests/Fixtures/safetensors/make.py
"""

import hashlib
import json
import pathlib
import shutil

import huggingface_hub
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent

tensors = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) - 2.5,
    "a.bfloat16": torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.bfloat16),
    "half": torch.tensor([1.0, 65504.0, -0.0], dtype=torch.float16),
    "ids": torch.tensor([1, -2, 2**31 - 1], dtype=torch.int32),
    "wide": torch.tensor([2**62, -1], dtype=torch.int64),
    "bytes": torch.tensor([0, 127, 255], dtype=torch.uint8),
    "flags": torch.tensor([True, False, True], dtype=torch.bool),
    "double": torch.tensor(3.141592653589793, dtype=torch.float64),
    "empty": torch.zeros(0, 4, dtype=torch.float32),
    "größe \"q\"\n": torch.tensor([7.0]),
}
save_file(tensors, here / "mixed.safetensors", metadata={"format": "pt"})

expected = {
    name: {
        "shape": list(tensor.shape),
        "sha256": hashlib.sha256(
            tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        ).hexdigest(),
    }
    for name, tensor in tensors.items()
}
(here / "mixed.json").write_text(json.dumps(expected, indent=2, sort_keys=True) + "\n")

sharded = here / "sharded"
shutil.rmtree(sharded, ignore_errors=True)
sharded.mkdir()
layers = {f"layers.{i}.weight": torch.full((4, 4), float(i)) for i in range(5)}
huggingface_hub.save_torch_state_dict(layers, sharded, max_shard_size=140)
