"""PyTorch through transformers: eager, or compiled by Inductor."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "Tests/Generators"))
import torchvision_operators  # noqa: F401  (before transformers' models)
import transformers
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    CLIPConfig,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
)

from . import inputs
from .peer import Checkpoint, Unsupported

_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class ImageTower(nn.Module):
    """pixels [N, 3, S, S] → projected embeddings [N, D]."""

    def __init__(self, model: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.model(pixel_values=pixels).image_embeds
        return embedding


class TextTower(nn.Module):
    """tokens [N, 77] → projected embeddings [N, D], hidden states after the final norm [N, 77, W]."""

    def __init__(self, model: CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(input_ids=tokens)
        return output.text_embeds, output.last_hidden_state


def load(checkpoint: Checkpoint, tower: str, dtype: torch.dtype) -> nn.Module:
    """One tower, its weights without gradients."""
    config = AutoConfig.from_pretrained(checkpoint.folder)
    if isinstance(config, CLIPConfig):
        config = config.vision_config if tower == "vision" else config.text_config
    # A whole model's configuration names it for both towers; theirs may still be the default.
    config.projection_dim = checkpoint.embedding_width
    arguments = {"config": config, "dtype": dtype}
    module: nn.Module
    if tower == "vision":
        vision = CLIPVisionModelWithProjection.from_pretrained(checkpoint.folder, **arguments)
        module = ImageTower(vision)
    else:
        text = CLIPTextModelWithProjection.from_pretrained(checkpoint.folder, **arguments)
        module = TextTower(text)
    return module.eval().requires_grad_(False)


class TorchPeer:
    """One tower in ``f32`` or ``bf16``.

    Compiled forward passes have their weights frozen, so that Inductor packs them once; a compiled
    gradient cannot, since freezing is for inference only. Each batch size is compiled by itself.
    """

    def __init__(self, checkpoint: Checkpoint, tower: str, precision: str, compiled: bool) -> None:
        self._checkpoint = checkpoint
        self._dtype = _DTYPES[precision]
        self._compiled = compiled
        self._module = load(checkpoint, tower, self._dtype)
        self._current: tuple[str, int] | None = None
        self._step: Callable[[], Any] | None = None

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "transformers": transformers.__version__}

    def prepare(self, work: str, batch: int) -> None:
        if self._current == (work, batch):
            return
        self._current, self._step = None, None
        gc.collect()
        if work == "gradient":
            self._step = self._gradient_step(batch)
        elif work == "image":
            pixels = torch.from_numpy(inputs.pixels(self._checkpoint, batch)).to(self._dtype)
            self._step = self._forward_step(pixels)
        elif work in ("text", "text77"):
            rows = torch.from_numpy(inputs.tokens(batch, full=work == "text77"))
            self._step = self._forward_step(rows)
        else:
            raise Unsupported(f"unknown work {work!r}")
        self._current = (work, batch)

    def run(self) -> Any:
        if self._step is None:
            raise Unsupported("nothing prepared")
        return self._step()

    def _forward_step(self, value: Tensor) -> Callable[[], Any]:
        module = self._module
        if self._compiled:
            import torch._inductor.config as settings

            torch.compiler.reset()
            settings.freezing = True
            module = torch.compile(self._module, dynamic=False)

        def step() -> Any:
            with torch.no_grad():
                return module(value)

        step()
        return step

    def _gradient_step(self, batch: int) -> Callable[[], Any]:
        """d(1 − cos)/d(pixels), summed over the batch: each image gets its own gradient."""
        pixels = torch.from_numpy(inputs.pixels(self._checkpoint, batch)).to(self._dtype)
        wanted = torch.from_numpy(inputs.targets(self._checkpoint, batch)).to(self._dtype)
        tower = self._module

        def loss(values: Tensor) -> Tensor:
            return (1 - nn.functional.cosine_similarity(tower(values), wanted, dim=-1)).sum()

        if self._compiled:
            import torch._inductor.config as settings

            torch.compiler.reset()
            settings.freezing = False
            loss = torch.compile(loss, dynamic=False)

        def step() -> Any:
            variable = pixels.detach().requires_grad_(True)
            loss(variable).backward()
            return variable.grad

        step()
        return step
