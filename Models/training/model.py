"""A plain CLIP in PyTorch whose parameter names are those of transformers' ``CLIPModel``.

The training script uses this module rather than transformers' so that the step can be kept lean
(no masks for padding, one product for q, k and v) while the state dict still loads there
unchanged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TowerShape:
    """Sizes of one transformer tower."""

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class ModelShape:
    """Everything that ``config.json`` says about the sizes."""

    vision: TowerShape = TowerShape(192, 6, 3)
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
    """Two linear layers around QuickGELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, T, width] to tokens."""
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))


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


class Encoder(nn.Module):
    """The stack of layers."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(shape.width, shape.heads) for _ in range(shape.layers))

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        """Tokens [B, T, width] to tokens; with ``causal`` none sees those after it."""
        for layer in self.layers:
            x = layer(x, causal)
        return x


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

    def forward(self, pixels: Tensor, chosen: Tensor | None = None) -> Tensor:
        """See the class; ``chosen`` [B, n] limits the patches."""
        x = self.encoder(self.pre_layrnorm(self.embeddings(pixels, chosen)), causal=False)
        return self.post_layernorm(x[:, 0])


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
        x = self.encoder(self.embeddings(ids), causal=True)
        end = (ids == self.eos).int().argmax(1)
        return self.final_layer_norm(x[torch.arange(len(ids)), end])


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
        """Draw small weights; residual outputs shrink with depth so that both towers start tame."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name or "layrnorm" in name:
                nn.init.ones_(parameter)
            elif "embedding" in name and "patch" not in name:
                nn.init.normal_(parameter, std=0.02)
            elif parameter.dim() >= 2:
                fan_in = parameter[0].numel()
                scale = 0.4 if "out_proj" in name or "fc2" in name else 1.0
                nn.init.normal_(parameter, std=scale * fan_in**-0.5)

    def encode_image(self, pixels: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Unit image embeddings [B, projection] of normalised pixels (or of some patches)."""
        pooled = self.vision_model(pixels, chosen)
        return F.normalize(self.visual_projection(pooled).float(), dim=-1)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Unit text embeddings [B, projection] of token ids."""
        return F.normalize(self.text_projection(self.text_model(ids)).float(), dim=-1)
