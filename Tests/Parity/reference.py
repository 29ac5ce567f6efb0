"""What transformers and torch compute, in float32, for a model directory."""

from __future__ import annotations

import sys
from pathlib import Path

# torchvision must find its operators declared before transformers imports it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Generators"))
import torchvision_operators  # noqa: F401

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer


class Reference:
    """CLIPModel with its tokenizer and the image processor that works on PIL images."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.requires_grad_(False)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.context = self.model.config.text_config.max_position_embeddings
        self.scale = float(self.model.logit_scale.exp())

    def tokens(self, text: str) -> list[int]:
        """Ids from the start to the end token, cut to the context."""
        return list(self.tokenizer(text, truncation=True, max_length=self.context).input_ids)

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """[N, D], not normalised, each text alone, so that no padding is involved."""
        rows = []
        for text in texts:
            ids = torch.tensor([self.tokens(text)])
            pooled = self.model.text_model(input_ids=ids).pooler_output
            rows.append(self.model.text_projection(pooled)[0])
        return torch.stack(rows)

    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, D] for normalised [N, 3, S, S]."""
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return self.model.visual_projection(pooled)

    def embed_pictures(self, pictures: list[Image.Image]) -> torch.Tensor:
        """[N, D] through the processor."""
        rows = []
        for picture in pictures:
            pixels = self.processor(images=picture, return_tensors="pt")["pixel_values"]
            rows.append(self.embed_pixels(pixels)[0])
        return torch.stack(rows)

    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] in 0–1 to normalised [N, 3, S, S], differentiably."""
        size = self.processor.size["shortest_edge"]
        height, width = image.shape[-2:]
        if height <= width:
            target = (size, int(size * width / height))
        else:
            target = (int(size * height / width), size)
        resized = F.interpolate(
            image, size=target, mode="bicubic", antialias=True, align_corners=False
        )
        side = self.processor.crop_size["height"]
        top, left = (target[0] - side) // 2, (target[1] - side) // 2
        cropped = resized[..., top : top + side, left : left + side]
        mean = torch.tensor(self.processor.image_mean).view(1, 3, 1, 1)
        std = torch.tensor(self.processor.image_std).view(1, 3, 1, 1)
        return (cropped - mean) / std

    def gradient(
        self, image: np.ndarray, prompts: list[str], weights: list[float], loss: str
    ) -> tuple[np.ndarray, float]:
        """d(loss)/d(image) [3, H, W] and the loss, for one float image."""
        pixels = torch.from_numpy(image)[None].requires_grad_()
        x = F.normalize(self.embed_pixels(self.preprocess(pixels)), dim=-1)
        y = F.normalize(self.embed_texts(prompts), dim=-1)
        cosine = x @ y.T
        if loss == "cosine":
            losses = 1 - cosine
        elif loss == "spherical":
            losses = 2 * ((x[:, None] - y[None]).norm(dim=-1) / 2).asin() ** 2
        else:
            losses = -self.scale * cosine
        w = torch.tensor(weights)
        total = (losses * w).sum() / w.sum().abs()
        (slope,) = torch.autograd.grad(total, pixels)
        return slope[0].numpy(), total.item()
