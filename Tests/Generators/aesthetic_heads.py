"""Makes the small aesthetic heads under Tests/EncodersTests/Fixtures/heads and what torch computes with them.

    python Tests/Generators/aesthetic_heads.py [OUTPUT_FOLDER]

The files have the names and layouts of the published ones (LAION-AI/aesthetic-predictor,
christophschuhmann/improved-aesthetic-predictor, aesthetic-predictor-v2-5) at a width of 24.
`expected.safetensors`: `embedding` [24] of length 1, and `NAME.score` [1], `NAME.gradient` [24] of each.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "heads"
WIDTH = 24
SIZES = (WIDTH, 32, 16, 12, 8, 1)


class Head(nn.Module):
    """The published modules: a sequence called `layers` or `scoring_head`."""

    def __init__(self, name: str, relu: bool) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip(SIZES, SIZES[1:])):
            parts.append(nn.Linear(inputs, outputs))
            if index == 4:
                break
            if relu:
                parts.append(nn.ReLU())
            # The last but one map has no dropout behind it, except in version 2.5.
            if index < 3 or name == "scoring_head":
                parts.append(nn.Dropout(0.2))
        setattr(self, name, nn.Sequential(*parts))
        self.name = name

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The score [N, 1] of embeddings [N, WIDTH]."""
        return getattr(self, self.name)(x)


def main() -> None:
    """Writes the folder named on the command line, or the fixtures."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    heads = {
        "sa_0_4_vit_b_32_linear": nn.Linear(WIDTH, 1),
        "sac+logos+ava1-l14-linearMSE": Head("layers", relu=False),
        "ava+logos-l14-reluMSE": Head("layers", relu=True),
        "aesthetic_predictor_v2_5": Head("scoring_head", relu=False),
    }
    embedding = nn.functional.normalize(torch.randn(WIDTH), dim=0)
    expected = {"embedding": embedding.clone()}
    for name, head in heads.items():
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.7)
        head.eval()
        state = head.state_dict()
        if name == "aesthetic_predictor_v2_5":
            # Published in bfloat16, all tensors views into one storage.
            flat = torch.cat([value.flatten() for value in state.values()]).bfloat16()
            views, start = {}, 0
            for key, value in state.items():
                views[key] = flat[start : start + value.numel()].view(value.shape)
                start += value.numel()
            head.load_state_dict({key: value.float() for key, value in views.items()})
            state = views
        torch.save(state, folder / f"{name}.pth")
        point = embedding.clone().requires_grad_(True)
        score = head(point[None])[0, 0]
        score.backward()
        expected[f"{name}.score"] = score.detach()[None].clone()
        expected[f"{name}.gradient"] = point.grad.clone()
        print(name, [key for key in state], score.item())
    save_file(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
