"""Every recipe from every form of checkpoint in every dialect.

The same random weights are stored in all forms; what the daemon makes of them must not differ by a bit. The diffusers
folders among them are compared with diffusers itself elsewhere. The table of what was served is the one in
docs/conditioning.md; UPDATE_DOCS=1 writes it there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import checkpoints as make
from daemon import ROOT, Daemon
from guidanced import Client

PROMPTS = {
    "plain": "a red cat on a mat, oil painting",
    "a1111": "a (red:1.3) [cat] on a mat, ((oil)) painting",
    "comfy": "a (red:1.3) cat on a mat, ((oil)) painting",
    "compel": "a red++ (cat)0.7 on a mat, oil- painting",
}
RECIPES = ["sd1", "sd2", "sdxl", "sdxl-refiner", "sd3-clip", "flux-clip"]
DOCUMENT = ROOT / "docs" / "conditioning.md"
BEGIN, END = "<!-- table of recipes: begin -->", "<!-- table of recipes: end -->"

# Form of checkpoint → {recipe: model}. The first is what the others must equal.
FORMS = {
    "diffusers folder": {
        "sd1": "folder-sd1", "sd2": "folder-sd2", "sdxl": "folder-sdxl",
        "sdxl-refiner": "folder-refiner", "sd3-clip": "folder-sd3", "flux-clip": "folder-flux",
    },
    "single file of the pipeline (.safetensors)": {
        "sd1": "file-sd1", "sd2": "file-sd2", "sdxl": "file-sdxl",
        "sdxl-refiner": "file-refiner", "sd3-clip": "file-sd3", "flux-clip": "file-flux",
    },
    "transformers directory": {
        "sd1": "lone-l", "sd2": "lone-h", "sdxl-refiner": "lone-g", "flux-clip": "lone-l",
    },
    "open_clip directory": {"sd2": "open-h", "sdxl-refiner": "open-g"},
}  # fmt: skip
# Bare files are known by their width, so they need towers of full width, and a twin to equal.
BARE = {
    "bare `clip_l.safetensors`": {"sd1": ("bare-l", "wide-l"), "flux-clip": ("bare-l", "wide-l")},
    "bare `clip_g.safetensors`": {"sdxl-refiner": ("bare-g", "wide-g")},
    "both bare files, `clip_l.safetensors+clip_g.safetensors`": {
        "sd1": ("bare-pair", "wide-l"),
        "sdxl": ("bare-pair", "wide-pair"),
        "sdxl-refiner": ("bare-pair", "wide-g"),
        "flux-clip": ("bare-pair", "wide-l"),
    },
}


def build(root: Path) -> dict[str, Path]:
    """All models; L has OpenAI's activation, H and G have LAION's."""
    quick, gelu = "quick_gelu", "gelu"
    l = make.text_tower(1, 64, 3, None)
    l_projected = make.text_tower(2, 64, 3, 48)
    g = make.text_tower(3, 64, 4, 56)
    h = make.text_tower(4, 128, 3, 56)
    l_unprojected = {name: value for name, value in l_projected.items() if "projection" not in name}
    wide_l = make.text_tower(5, 768, 2, None)
    wide_g = make.text_tower(6, 1280, 2, 64)
    folder, old, new = make.diffusers_folder, "cond_stage_model.", "conditioner.embedders."
    sd3 = "text_encoders."
    trimmed = make.without_last_layer(h)
    return {
        "folder-sd1": folder(root / "fsd1", "StableDiffusionPipeline", text_encoder=(l, quick)),
        "folder-sd2": folder(root / "fsd2", "StableDiffusionPipeline", text_encoder=(trimmed, gelu)),
        "folder-sdxl": folder(
            root / "fsdxl",
            "StableDiffusionXLPipeline",
            text_encoder=(l, quick),
            text_encoder_2=(g, gelu),
        ),
        "folder-refiner": folder(
            root / "frefiner", "StableDiffusionXLImg2ImgPipeline", text_encoder_2=(g, gelu)
        ),
        "folder-sd3": folder(
            root / "fsd3",
            "StableDiffusion3Pipeline",
            text_encoder=(l_projected, quick),
            text_encoder_2=(g, gelu),
        ),
        "folder-flux": folder(root / "fflux", "FluxPipeline", text_encoder=(l, quick)),
        "file-sd1": make.write(root / "sd1.safetensors", make.prefixed(old + "transformer.", l)),
        "file-sd2": make.write(
            root / "sd2.safetensors", make.prefixed(old + "model.", make.open_clip_names(h))
        ),
        "file-sdxl": make.write(
            root / "sdxl.safetensors",
            make.prefixed(new + "0.transformer.", l)
            | make.prefixed(new + "1.model.", make.open_clip_names(g)),
        ),
        "file-refiner": make.write(
            root / "refiner.safetensors",
            make.prefixed(new + "0.model.", make.open_clip_names(g)),
        ),
        "file-sd3": make.write(
            root / "sd3.safetensors",
            make.prefixed(sd3 + "clip_l.transformer.", l_projected)
            | make.prefixed(sd3 + "clip_g.transformer.", g),
        ),
        "file-flux": make.write(
            root / "flux.safetensors", make.prefixed(sd3 + "clip_l.transformer.", l)
        ),
        "lone-l": make.transformers_folder(root / "l", l, quick),
        "lone-h": make.transformers_folder(root / "h", h, gelu),
        "lone-g": make.transformers_folder(root / "g", g, gelu),
        "open-h": make.open_clip_folder(root / "oh", h),
        "open-g": make.open_clip_folder(root / "og", g),
        "bare-l": make.write(root / "clip_l.safetensors", wide_l),
        "wide-l": make.transformers_folder(root / "wl", wide_l, quick),
        "bare-g": make.write(root / "clip_g.safetensors", wide_g),
        "wide-g": make.transformers_folder(root / "wg", wide_g, gelu),
        "bare-pair": Path(f"{root}/clip_l.safetensors+{root}/clip_g.safetensors"),
        "wide-pair": folder(
            root / "wpair",
            "StableDiffusionXLPipeline",
            text_encoder=(wide_l, quick),
            text_encoder_2=(wide_g, gelu),
        ),
    }


@pytest.fixture(scope="module")
def g() -> Iterator[Client]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        models = build(Path(folder) / "models")
        arguments = [text for name, path in models.items() for text in ("--model", f"{name}={path}")]
        running = Daemon(Path(folder), *arguments)
        with Client(running.endpoint, control=running.control, timeout=120) as client:
            yield client
        assert running.stop() == 0, running.log.read_text()


def vectors(g: Client, recipe: str, model: str, syntax: str) -> list[np.ndarray]:
    found = g.condition(
        PROMPTS[syntax], recipe, "blurry", syntax=syntax, long_prompts="chunk", model=model
    )
    every = [
        found.hidden_states,
        found.pooled,
        found.negative_hidden_states,
        found.negative_pooled,
    ]
    kept = [values for values in every if values is not None]
    assert kept and all(np.isfinite(values).all() for values in kept)
    return kept


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


def test_every_form_gives_the_same_bits_and_the_table_is_true(g: Client) -> None:
    lines = ["| Checkpoint | " + " | ".join(f"`{name}`" for name in RECIPES) + " |"]
    lines.append("|---" * (1 + len(RECIPES)) + "|")
    everything = "all"
    pairs: dict[str, dict[str, tuple[str, str]]] = {
        form: {recipe: (model, FORMS["diffusers folder"][recipe]) for recipe, model in row.items()}
        for form, row in FORMS.items()
    }
    for form, row in {**pairs, **BARE}.items():
        cells = []
        for recipe in RECIPES:
            if recipe not in row:
                cells.append("–")
                continue
            model, twin = row[recipe]
            served = []
            for syntax in PROMPTS:
                ours, theirs = (vectors(g, recipe, name, syntax) for name in (model, twin))
                assert equal(ours, theirs), (form, recipe, syntax)
                # Each dialect has its own effect on a prompt with weights.
                if syntax != "plain" and recipe != "flux-clip":
                    assert not equal(ours, vectors(g, recipe, model, "plain"))
                served.append(syntax)
            cells.append(everything if served == list(PROMPTS) else ", ".join(served))
        lines.append(f"| {form} | " + " | ".join(cells) + " |")
    names = ", ".join(f"`{name}`" for name in PROMPTS)
    table = "\n".join([*lines, "", f"“{everything}”: in every dialect ({names})."])
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    written, after = rest.split(END)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
        return
    assert written.strip() == table, "docs/conditioning.md: run this test with UPDATE_DOCS=1"


def test_what_a_model_cannot_serve_is_refused_by_name(g: Client) -> None:
    recipes = {model["name"]: model["recipes"] for model in g.models()}
    assert recipes["file-sdxl"] == recipes["folder-sdxl"]
    assert recipes["file-sd3"] == recipes["folder-sd3"]
    assert recipes["bare-l"] == ["sd1", "flux-clip"]
    assert recipes["bare-pair"][0] == "sdxl"
    with pytest.raises(Exception, match="sdxl needs clip_l"):
        g.condition("a cat", "sdxl", model="lone-l")
    with pytest.raises(Exception, match="projection"):
        g.condition("a cat", "sd3-clip", model="file-sdxl")
