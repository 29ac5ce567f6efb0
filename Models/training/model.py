"""A plain CLIP in PyTorch whose parameter names are those of transformers' ``CLIPModel``.

The training script uses this module rather than transformers' so that the step can be kept lean
(no masks for padding, one product for q, k and v, the last layer for the pooled token alone) while
``exported`` gives a state dict that loads there unchanged.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# QuickGELU's factor.
FOLD = 1.702


@dataclass(frozen=True)
class TowerShape:
    """Sizes of one transformer tower."""

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class ModelShape:
    """Everything that ``config.json`` says about the sizes."""

    vision: TowerShape = TowerShape(192, 4, 6)
    text: TowerShape = TowerShape(128, 3, 2)
    projection: int = 128
    image_size: int = 64
    patch_size: int = 8
    vocabulary: int = 3000
    context: int = 32

    def as_dict(self) -> dict[str, object]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict) -> ModelShape:
        """The inverse of ``as_dict``."""
        values = dict(values)
        values["vision"] = TowerShape(**values["vision"])
        values["text"] = TowerShape(**values["text"])
        return ModelShape(**values)


class Attention(nn.Module):
    """Self-attention; q, k and v are separate parameters (as stored) but one product (as run)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def pooled(self, x: Tensor, at: Tensor, hidden: Tensor | None) -> Tensor:
        """The output [B, width] of the token ``at`` [B] alone; none of the ``hidden`` [B, T] is
        seen."""
        batch, length, width = x.shape
        size = width // self.heads
        token = x[torch.arange(batch), at]
        q = self.q_proj(token).view(batch, self.heads, 1, size) * size**-0.5
        both = F.linear(
            x,
            torch.cat([self.k_proj.weight, self.v_proj.weight]),
            torch.cat([self.k_proj.bias, self.v_proj.bias]),
        )
        k, v = both.view(batch, length, 2, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.mT
        if hidden is not None:
            scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
        mixed = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
        return self.out_proj(mixed.reshape(batch, width))

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        """Tokens [B, T, width] to tokens; with ``causal`` none sees those after it."""
        batch, length, width = x.shape
        weight = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        bias = torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])
        qkv = F.linear(x, weight, bias).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # Written out: for short sequences on a CPU this is faster than the fused kernel's backward.
        scores = (q * (width // self.heads) ** -0.5) @ k.mT
        if causal:
            mask = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(mask, float("-inf"))
        mixed = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    """Two linear layers around QuickGELU.

    QuickGELU's factor is inside the weights while training, x sigmoid(1.702 x) being
    silu(1.702 x) / 1.702; ``exported`` takes it out again.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, T, width] to tokens."""
        return self.fc2(F.silu(self.fc1(x)))


class Layer(nn.Module):
    """A pre-norm residual block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width, eps=1e-5)
        self.mlp = MLP(width)
        self.layer_norm2 = nn.LayerNorm(width, eps=1e-5)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        """Tokens [B, T, width] to tokens; with ``causal`` none sees those after it."""
        x = x + self.self_attn(self.layer_norm1(x), causal)
        return x + self.mlp(self.layer_norm2(x))

    def pooled(self, x: Tensor, at: Tensor, hidden: Tensor | None) -> Tensor:
        """What ``forward`` gives at the token ``at`` [B], at a twelfth of its cost."""
        token = x[torch.arange(len(x)), at]
        token = token + self.self_attn.pooled(self.layer_norm1(x), at, hidden)
        return token + self.mlp(self.layer_norm2(token))


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(shape.width, shape.heads) for _ in range(shape.layers))

    def pooled(
        self, x: Tensor, causal: bool, at: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The last layer's output [B, width] at the token ``at``, and all tokens [B, T, width]
        after each layer before it."""
        tokens = []
        for layer in self.layers[:-1]:
            x = layer(x, causal)
            tokens.append(x)
        return self.layers[-1].pooled(x, at, hidden), tokens


class VisionEmbeddings(nn.Module):
    """Patches, the class token and learned positions."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        width = shape.vision.width
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, shape.patch_size, shape.patch_size, bias=False)
        count = (shape.image_size // shape.patch_size) ** 2 + 1
        self.position_embedding = nn.Embedding(count, width)

    def forward(self, pixels: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Tokens [B, 1 + patches, width]; only the ``chosen`` patches [B, n] if given."""
        patch = self.patch_embedding.kernel_size[0]
        batch, channels, height, _ = pixels.shape
        grid = height // patch
        tiles = pixels.view(batch, channels, grid, patch, grid, patch)
        tiles = tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, -1)
        positions = self.position_embedding.weight[1:]
        if chosen is not None:
            tiles = tiles.gather(1, chosen[..., None].expand(-1, -1, tiles.shape[2]))
            positions = positions[chosen]
        patches = F.linear(tiles, self.patch_embedding.weight.flatten(1)) + positions
        token = self.class_embedding + self.position_embedding.weight[0]
        return torch.cat([token.expand(batch, 1, -1), patches], 1)


class VisionTower(nn.Module):
    """Pixels [B, 3, H, W] to the pooled class token [B, width]."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.embeddings = VisionEmbeddings(shape)
        # transformers spells it so.
        self.pre_layrnorm = nn.LayerNorm(shape.vision.width, eps=1e-5)
        self.encoder = Encoder(shape.vision)
        self.post_layernorm = nn.LayerNorm(shape.vision.width, eps=1e-5)

    def forward(
        self, pixels: Tensor, chosen: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The pooled class token [B, width], and the tokens after each layer but the last;
        ``chosen`` [B, n] limits the patches."""
        x = self.pre_layrnorm(self.embeddings(pixels, chosen))
        first = torch.zeros(len(x), dtype=torch.long)
        pooled, tokens = self.encoder.pooled(x, False, first)
        return self.post_layernorm(pooled), tokens


class TextEmbeddings(nn.Module):
    """Tokens and learned positions."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(shape.vocabulary, shape.text.width)
        self.position_embedding = nn.Embedding(shape.context, shape.text.width)

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextTower(nn.Module):
    """Token ids [B, T] to the hidden state at the first EOS [B, width]."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.eos = shape.vocabulary - 1
        self.embeddings = TextEmbeddings(shape)
        self.encoder = Encoder(shape.text)
        self.final_layer_norm = nn.LayerNorm(shape.text.width, eps=1e-5)

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        end = (ids == self.eos).int().argmax(1)
        hidden = torch.arange(ids.shape[1]) > end[:, None]
        pooled, _ = self.encoder.pooled(self.embeddings(ids), True, end, hidden)
        return self.final_layer_norm(pooled)


class CLIP(nn.Module):
    """The two towers, their projections and the logit scale."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.text_model = TextTower(shape)
        self.vision_model = VisionTower(shape)
        self.visual_projection = nn.Linear(shape.vision.width, shape.projection, bias=False)
        self.text_projection = nn.Linear(shape.text.width, shape.projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw small weights; residual outputs shrink with depth so that both towers start tame.

        Patches start as cosines (a DCT in opponent colours, whitened), positions as large sines
        and cosines: places are learnt twice as fast so.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name or "layrnorm" in name:
                nn.init.ones_(parameter)
            elif "class_embedding" in name:
                nn.init.normal_(parameter, std=0.5)
            elif "embedding" in name and "patch" not in name:
                nn.init.normal_(parameter, std=0.3)
            elif parameter.dim() >= 2:
                scale = 0.4 if "out_proj" in name or "fc2" in name else 1.0
                scale *= FOLD if "fc1" in name else 1 / FOLD if "fc2" in name else 1.0
                nn.init.normal_(parameter, std=scale * parameter[0].numel() ** -0.5)
        with torch.no_grad():
            embeddings, shape = self.vision_model.embeddings, self.shape
            embeddings.patch_embedding.weight.copy_(cosine_filters(shape))
            embeddings.position_embedding.weight[1:] = sine_positions(shape)

    def exported(self) -> dict[str, Tensor]:
        """The state under transformers' names and with its QuickGELU."""
        state = {name: value.clone() for name, value in self.state_dict().items()}
        for name, value in state.items():
            if ".fc1." in name:
                value.div_(FOLD)
            elif name.endswith(".fc2.weight"):
                value.mul_(FOLD)
        return state

    def encode_image(self, pixels: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Unit image embeddings [B, projection] of normalised pixels (or of some patches)."""
        pooled, _ = self.vision_model(pixels, chosen)
        return F.normalize(self.visual_projection(pooled).float(), dim=-1)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Unit text embeddings [B, projection] of token ids."""
        return F.normalize(self.text_projection(self.text_model(ids)).float(), dim=-1)


def _turn(rows: int, columns: int) -> Tensor:
    """A random matrix [rows, columns] whose rows or columns, whichever are fewer, are orthonormal."""
    return nn.init.orthogonal_(torch.empty(rows, columns))


def cosine_filters(shape: ModelShape) -> Tensor:
    """Patch filters [width, 3, P, P]: the strongest DCT components in opponent colours, scaled to
    like size for pictures with a 1/f spectrum, under a random rotation."""
    p, width = shape.patch_size, shape.vision.width
    n = torch.arange(p)
    basis = torch.cos(math.pi * (n + 0.5) * n[:, None] / p) * (2 / p) ** 0.5
    basis[0] /= 2**0.5
    planes = torch.einsum("uy,vx->uvyx", basis, basis).reshape(p * p, p, p)
    opponent = torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]])
    opponent = F.normalize(opponent, dim=1)
    filters = torch.einsum("oc,kyx->okcyx", opponent, planes)
    frequency = (n[:, None] ** 2 + n**2).float().sqrt().flatten()
    # A coefficient's spread on normalised pixels, as measured on rendered pictures.
    spread = torch.tensor([7.0, 4.0, 4.0])[:, None] / (1 + 2.2 * frequency) ** 1.25
    filters = (filters / (spread + 0.15)[..., None, None, None]).flatten(0, 1)
    strongest = spread.flatten().argsort(descending=True)[:width]
    chosen = filters[strongest]
    rotation = _turn(width, len(chosen))
    return 0.95 * torch.einsum("wk,kcyx->wcyx", rotation, chosen) * (width / len(chosen)) ** 0.5


def sine_positions(shape: ModelShape) -> Tensor:
    """Positions [patches, width] of rms 0.7: sines and cosines of x and y, rotated at random."""
    grid, width = shape.image_size // shape.patch_size, shape.vision.width
    at = (torch.arange(grid) + 0.5) * shape.patch_size
    angles = at[:, None] * math.pi / shape.image_size * torch.arange(1, 11)
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    both = torch.cat(
        [
            waves[:, None].expand(grid, grid, -1),  # rows
            waves[None].expand(grid, grid, -1),  # columns
        ],
        2,
    ).reshape(grid * grid, -1)
    return both @ _turn(both.shape[1], width) * 0.7 * (width / both.shape[1] * 2) ** 0.5
