"""Makes the LyCORIS adapters under Tests/EncodersTests/Fixtures/lycoris, and what the lycoris-lora package makes of them.

    python Tests/Generators/lycoris_files.py [OUTPUT_FOLDER]

Needs `pip install --no-deps lycoris-lora==4.1.3 einops toml` beside what `scripts/setup-reference` installs. The tower is
`adapters/base`. Every module's numbers are random; `NAME.merged.safetensors` holds the matrices and vectors that the
package's own forward pass uses (the module is run on the identity, so that nothing but its formula decides), and
`NAME.half.safetensors` the same at a multiplier of 0.5. LoKr and LoHa: the package's `get_diff_weight` multiplies by the
scale twice, its forward pass, which is what was trained, once; ComfyUI does so once as well.
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401

import torch
from lycoris.modules.full import FullModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from safetensors.torch import save_file

from adapters import base_model, named

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "lycoris"


def modules(model):
    """Linear layers and norms under the names of a checkpoint with both towers."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm)):
            found[name if name.startswith(("text_model.", "text_projection")) else "text_model." + name] = module
    return found


def randomise(module, generator):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        if getattr(module, "dora_scale", None) is not None:
            module.dora_scale.copy_(module.dora_scale.abs() + 0.5)


def merged(adapter, module, strength):
    """Weight and bias that the adapter's forward pass amounts to."""
    adapter.multiplier = strength
    adapter.eval()
    weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
    with torch.no_grad():
        if isinstance(module, torch.nn.LayerNorm):
            return adapter.make_weight(strength)
        zero = adapter(torch.zeros((1, weight.shape[1])))[0]
        rows = adapter(torch.eye(weight.shape[1])) - zero
    return rows.T.contiguous(), None if bias is None else zero


def write(root, name, choose, prefix="lora_te_"):
    """`choose`: (adapter's class and options) by the name of a module, or nothing."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    torch.manual_seed(3)
    stored, results = {}, {1: {}, 0.5: {}}
    for key, module in modules(base_model()).items():
        chosen = choose(key)
        if not chosen:
            continue
        kind, options = chosen
        adapter = kind(prefix + key.replace(".", "_"), module, **options)
        randomise(adapter, generator)
        if kind is FullModule:
            state = {"diff": adapter.weight.detach()}
            if adapter.bias is not None:
                state["diff_b"] = adapter.bias.detach()
        elif kind in (IA3Module, NormModule):
            state = {part: tensor for part, tensor in adapter.state_dict().items()}
        else:
            state = dict(adapter.custom_state_dict())
        for part, tensor in state.items():
            stored[f"{prefix}{key.replace('.', '_')}.{part}"] = tensor.detach().clone().contiguous()
        original = module.weight.detach().clone(), None if module.bias is None else module.bias.detach().clone()
        for strength, result in results.items():
            values = adapter_values(kind, adapter, module, original, strength)
            for part, value, before in zip(["weight", "bias"], values, original):
                if value is not None and not torch.allclose(value, before, atol=1e-7, rtol=0):
                    result[f"{key}.{part}"] = value.detach().clone().contiguous()
    save_file(stored, root / f"{name}.safetensors")
    save_file(results[1], root / f"{name}.merged.safetensors")
    # The package's DoRA at half its strength starts from the sum, ComfyUI's and ours from the original matrix.
    if "dora" not in name:
        save_file(results[0.5], root / f"{name}.half.safetensors")
    print(name, sorted({part.split(".")[-1] for part in stored}), len(results[1]))


def adapter_values(kind, adapter, module, original, strength):
    if kind is FullModule:
        weight = original[0] + strength * adapter.weight.detach()
        bias = None if original[1] is None else original[1] + strength * adapter.bias.detach()
        mine = adapter.make_weight(strength)
        assert torch.allclose(mine[0], weight) and (bias is None or torch.allclose(mine[1], bias))
        return weight, bias
    if kind is not NormModule:
        adapter.org_forward = module.forward
    return merged(adapter, module, strength)


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)

    def linear(kind, **options):
        return lambda key: None if "norm" in key or "projection" in key else (kind, options)

    write(root, "loha", linear(LohaModule, lora_dim=3, alpha=2))
    write(root, "loha-dora", linear(LohaModule, lora_dim=3, alpha=2, weight_decompose=True))
    write(root, "lokr", linear(LokrModule, lora_dim=2, alpha=1, factor=4))
    write(root, "lokr-both", linear(LokrModule, lora_dim=1, alpha=3, factor=8, decompose_both=True))
    write(root, "lokr-full", linear(LokrModule, lora_dim=100000, alpha=5, factor=8))
    write(root, "lokr-dora", linear(LokrModule, lora_dim=2, alpha=1, factor=4, weight_decompose=True, wd_on_out=False))
    write(root, "locon", linear(LoConModule, lora_dim=3, alpha=2))
    write(root, "full", linear(FullModule))
    write(root, "norms", lambda key: (NormModule, {}) if "norm" in key else None)
    write(root, "ia3", lambda key: (IA3Module, {"train_on_input": "fc" in key})
          if any(part in key for part in ["k_proj", "v_proj", "fc2", "fc1"]) else None)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
