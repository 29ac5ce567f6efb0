"""Gradient ascent on pixels: are the model's gradients of any use to a sampler?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from loaded import Model
from scenes import SIZE


def ascend(
    model: Model, prompt: str, others: list[str], start: str, seed: int, steps: int = 60
) -> dict[str, object]:
    """Gradient ascent on the pixels towards a prompt, over small shifts; cosine and rank before
    and after. The rank is the prompt's place among it and the others for the finished picture."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.tensor(model.processor.image_processor.image_mean).view(1, 3, 1, 1)
    std = torch.tensor(model.processor.image_processor.image_std).view(1, 3, 1, 1)
    image = torch.full((1, 3, SIZE, SIZE), 0.5)
    if start == "noise":
        image = torch.rand(1, 3, SIZE, SIZE, generator=generator)
    image.requires_grad_()
    texts = model.texts([prompt, *others])

    def embed(x: Tensor) -> Tensor:
        pooled = model.clip.vision_model(pixel_values=(x.clamp(0, 1) - mean) / std).pooler_output
        return F.normalize(model.clip.visual_projection(pooled), dim=-1)

    def standing() -> tuple[float, int]:
        with torch.no_grad():
            cosines = (embed(image) @ texts.T)[0]
        return cosines[0].item(), int((cosines > cosines[0]).sum()) + 1

    before = standing()
    optimizer = torch.optim.Adam([image], 0.03)
    for _ in range(steps):
        dx, dy = torch.randint(-3, 4, (2,), generator=generator).tolist()
        noisy = image.roll((dy, dx), (2, 3)) + 0.05 * torch.randn(image.shape, generator=generator)
        loss = -(embed(noisy) @ texts[0])[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    after = standing()
    return {
        "prompt": prompt,
        "start": start,
        "steps": steps,
        "among": len(others) + 1,
        "cosine_before": round(before[0], 4),
        "cosine_after": round(after[0], 4),
        "rank_before": before[1],
        "rank_after": after[1],
    }
