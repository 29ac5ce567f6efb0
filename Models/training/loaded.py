"""A model directory as others load it: transformers' ``CLIPModel`` and ``CLIPProcessor``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPProcessor

TEMPLATES = ("a photo of {}.", "a picture of {}", "{}")


class Model:
    """A model directory behind two functions."""

    def __init__(self, folder: Path) -> None:
        self.clip = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPProcessor.from_pretrained(folder)

    @torch.no_grad()
    def images(self, pictures: np.ndarray) -> Tensor:
        """Unit embeddings [N, P] of byte pictures [N, H, W, 3]."""
        parts = []
        for start in range(0, len(pictures), 256):
            chunk = [Image.fromarray(p) for p in pictures[start : start + 256]]
            pixels = self.processor(images=chunk, return_tensors="pt")["pixel_values"]
            pooled = self.clip.vision_model(pixel_values=pixels).pooler_output
            parts.append(F.normalize(self.clip.visual_projection(pooled), dim=-1))
        return torch.cat(parts)

    def encode_ids(self, texts: list[str]) -> dict[str, Tensor]:
        """Padded ids and mask of the texts."""
        return self.processor(text=texts, return_tensors="pt", padding=True, truncation=True)

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """Unit embeddings [N, P]."""
        parts = []
        for start in range(0, len(texts), 512):
            ids = self.encode_ids(texts[start : start + 512])
            pooled = self.clip.text_model(**ids).pooler_output
            parts.append(F.normalize(self.clip.text_projection(pooled), dim=-1))
        return torch.cat(parts)

    def classes(self, names: list[str]) -> Tensor:
        """The mean over the templates, renormalised, for each name [N, P]."""
        mean = sum(self.texts([t.format(n) for n in names]) for t in TEMPLATES)
        return F.normalize(mean, dim=-1)
