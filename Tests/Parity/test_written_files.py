"""The files that the tests of the light environment write are real ones: torch, safetensors and the gguf
package read them, and find the values that were written.

Runs in the reference environment (`make parity`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "Clients"))

import checkpoints as make  # noqa: E402
import gguf  # noqa: E402
import gguf_writer  # noqa: E402
import numpy as np  # noqa: E402
import pickled  # noqa: E402
import pytest  # noqa: E402
import recipe_forms as forms  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

RANDOM = np.random.default_rng(3)
MATRIX = RANDOM.standard_normal((6, 64), dtype=np.float32)
TENSORS: make.Weights = {
    "matrix.weight": MATRIX.astype(np.float16),
    "vector.bias": MATRIX[0],
    "brain": make.bfloat16({"": MATRIX})[""],
    "conv": RANDOM.standard_normal((4, 3, 2, 2), dtype=np.float32),
    "positions": np.arange(7, dtype=np.int64)[None],
    "scale": np.array(2.5, np.float32),
}


def same(found: dict[str, torch.Tensor], written: make.Weights) -> None:
    assert list(found) == list(written)
    for name, values in written.items():
        tensor = found[name].detach()
        if values.dtype == np.uint16:
            assert tensor.dtype == torch.bfloat16
            tensor = tensor.view(torch.int16)
            values = values.view(np.int16)
        assert tensor.numpy().dtype == values.dtype and tensor.shape == values.shape, name
        assert np.array_equal(tensor.numpy(), values), name


@pytest.mark.parametrize("save", [pickled.save, pickled.save_legacy])
def test_torch_loads_a_state_dictionary(tmp_path: Path, save: Any) -> None:
    path = save(tmp_path / "weights.bin", TENSORS)
    same(torch.load(path, weights_only=True), TENSORS)
    again = tmp_path / "again.bin"
    torch.save(torch.load(path, weights_only=True), again)
    same(torch.load(again, weights_only=True), TENSORS)


def test_torch_maps_a_state_dictionary(tmp_path: Path) -> None:
    same(torch.load(pickled.save(tmp_path / "weights.bin", TENSORS), weights_only=True, mmap=True), TENSORS)


@pytest.mark.parametrize("write", [forms.checkpoint, forms.legacy_checkpoint])
def test_torch_loads_a_training_checkpoint(tmp_path: Path, write: Any) -> None:
    found = torch.load(write(tmp_path / "model.ckpt", TENSORS), weights_only=True)
    assert found["global_step"] == 470000
    same(found["state_dict"], TENSORS)


def test_torch_loads_a_scripted_module(tmp_path: Path) -> None:
    named = {
        "visual.proj": TENSORS["conv"],
        "visual.transformer.resblocks.0.ln_1.weight": TENSORS["vector.bias"],
        "visual.transformer.resblocks.1.ln_1.weight": TENSORS["vector.bias"] * 2,
        "text_projection": TENSORS["matrix.weight"],
        "logit_scale": TENSORS["scale"],
        "vocab_size": np.array(49408, np.int64),
    }
    module = torch.jit.load(pickled.save_script(tmp_path / "model.pt", named))
    found = dict(module.named_parameters())
    assert set(found) == set(named)
    same({name: found[name] for name in named}, named)


def test_torch_loads_a_whole_scripted_model(tmp_path: Path) -> None:
    path = forms.openai(tmp_path, forms.towers("half"))["sd1"]
    found = dict(torch.jit.load(path).named_parameters())
    stored = make.open_clip_names(forms.towers("half").l)
    for name, values in stored.items():
        assert np.array_equal(found[name].detach().float().numpy(), values.astype(np.float32)), name


def test_safetensors_loads_a_file(tmp_path: Path) -> None:
    found = load_file(make.write(tmp_path / "model.safetensors", TENSORS))
    same({name: found[name] for name in TENSORS}, TENSORS)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_shards_hold_what_their_index_says(tmp_path: Path, name: str) -> None:
    make.in_shards(name)(tmp_path, TENSORS)
    index = json.loads((tmp_path / f"{name}.index.json").read_text())["weight_map"]
    assert set(index) == set(TENSORS) and len(set(index.values())) == 3
    found = {}
    for shard in set(index.values()):
        path = tmp_path / shard
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        assert all(index[key] == shard for key in loaded)
        found |= loaded
    same({key: found[key] for key in TENSORS}, TENSORS)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_blocks_are_those_of_the_gguf_package(kind: str) -> None:
    special = np.zeros((2, 64), np.float32)
    special[1, :4] = [1, -1, 0.5, -0.5]
    for values in [RANDOM.standard_normal((300, 128), dtype=np.float32), MATRIX.astype(np.float16), special]:
        packed, meant = gguf_writer.quantised(values, kind)
        number = gguf.GGMLQuantizationType[kind.upper()]
        theirs = gguf.quants.quantize(values.astype(np.float32), number)
        assert np.array_equal(packed.reshape(theirs.shape), theirs)
        assert np.array_equal(gguf.quants.dequantize(theirs, number), meant)


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0", "q4_0"])
def test_the_gguf_package_reads_a_file(tmp_path: Path, kind: str) -> None:
    weights = forms.make.text_tower(8, 64, 1, 40)
    path = gguf_writer.clip_cpp(tmp_path / "l.gguf", weights, kind, gelu=True, tokens=["a", "bé"])
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["tokenizer.ggml.tokens"] == ["a", "bé"] and fields["clip.use_gelu"] is True
    assert fields["clip.text.block_count"] == 1 and fields["general.architecture"] == "clip"
    assert fields["clip.text.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    found = {tensor.name: tensor for tensor in reader.tensors}
    expected = gguf_writer.dequantised(weights, kind) if kind.startswith("q") else weights
    assert len(found) == len(weights)
    for name, values in expected.items():
        tensor = found[gguf_writer.clip_cpp_name(name, is_first=False)]
        read = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert tuple(reversed([int(size) for size in tensor.shape])) == values.shape
        assert np.array_equal(read.astype(np.float32).reshape(values.shape), values.astype(np.float32)), name
    kinds = {tensor.tensor_type.name.lower() for tensor in reader.tensors}
    assert kind in kinds
