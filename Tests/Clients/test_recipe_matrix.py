"""Every recipe from every form of checkpoint in every dialect.

The same random weights are stored in all forms; what the daemon makes of them must not differ by a bit from
what it makes of a diffusers folder, which is compared with diffusers itself elsewhere. The table of what was
served is the one in docs/conditioning.md; UPDATE_DOCS=1 writes it there.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import recipe_forms as forms
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
EVERYTHING = "all"

Vectors = list[np.ndarray]


@contextmanager
def serving(folder: Path, models: dict[str, forms.Model]) -> Iterator[Client]:
    """A daemon that keeps no finished prompts: models of equal fingerprints would share them."""
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"limits": {"conditioning_cache_bytes": 0}}))
    arguments = [text for name, path in models.items() for text in ("--model", f"{name}={path}")]
    running = Daemon(folder, "--config", str(settings), *arguments)
    try:
        with Client(running.endpoint, control=running.control, timeout=120) as client:
            yield client
        assert running.stop() == 0, running.log.read_text()
    finally:
        running.kill()


def vectors(g: Client, recipe: str, model: str, syntax: str) -> Vectors:
    found = g.condition(PROMPTS[syntax], recipe, "blurry", syntax=syntax, long_prompts="chunk", model=model)
    every = [
        found.hidden_states,
        found.pooled,
        found.negative_hidden_states,
        found.negative_pooled,
    ]
    kept = [values for values in every if values is not None]
    assert kept and all(np.isfinite(values).all() for values in kept)
    return kept


def equal(a: Vectors, b: Vectors) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


@cache
def expected(values: str) -> dict[tuple[str, str], Vectors]:
    """By recipe and dialect: what diffusers folders with these values give."""
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        models = forms.twins(Path(folder) / "twins", values)
        found = {}
        with serving(Path(folder), models) as g:
            for recipe in models:
                for syntax in PROMPTS:
                    found[recipe, syntax] = vectors(g, recipe, recipe, syntax)
                # Each dialect has its own effect on a prompt with weights.
                if recipe != "flux-clip":
                    for syntax in ["a1111", "comfy", "compel"]:
                        assert not equal(found[recipe, syntax], found[recipe, "plain"])
        return found


@cache
def rows(group: str) -> tuple[str, ...]:
    """The table's rows of a group of forms, all of whose vectors are as expected."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        found = list(forms.GROUPS[group](Path(folder) / "models"))
        # Recipes that share a path share a model.
        names: dict[str, str] = {}
        for form in found:
            for path in form.models.values():
                names.setdefault(str(path), f"m{len(names)}")
        with serving(Path(folder), {name: path for path, name in names.items()}) as g:
            for form in found:
                cells = []
                for recipe in RECIPES:
                    if recipe not in form.models:
                        cells.append("–")
                        continue
                    for syntax in PROMPTS:
                        ours = vectors(g, recipe, names[str(form.models[recipe])], syntax)
                        assert equal(ours, expected(form.values)[recipe, syntax]), (form.title, recipe, syntax)
                    cells.append(EVERYTHING)
                lines.append(f"| {form.title} | " + " | ".join(cells) + " |")
    return tuple(lines)


@pytest.mark.parametrize("group", forms.GROUPS)
def test_every_form_gives_the_same_bits(group: str) -> None:
    assert rows(group)


@pytest.mark.parametrize("values", ["bf16", "q8_0", "q4_0"])
def test_rounded_weights_are_others(values: str) -> None:
    for key, exact in expected("half").items():
        assert not equal(exact, expected(values)[key]), key


def test_the_table_is_true() -> None:
    lines = ["| Checkpoint | " + " | ".join(f"`{name}`" for name in RECIPES) + " |"]
    lines.append("|---" * (1 + len(RECIPES)) + "|")
    for group in forms.GROUPS:
        lines += rows(group)
    names = ", ".join(f"`{name}`" for name in PROMPTS)
    table = "\n".join([*lines, "", f"“{EVERYTHING}”: in every dialect ({names})."])
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    written, after = rest.split(END)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
        return
    assert written.strip() == table, "docs/conditioning.md: run this test with UPDATE_DOCS=1"


def test_what_a_model_cannot_serve_is_refused_by_name(tmp_path: Path) -> None:
    half, wide = forms.towers("half"), forms.towers("wide")
    files = forms.single_files(tmp_path / "files", half, forms.make.write, "safetensors")
    lone = forms.transformers(tmp_path / "lone", half, forms.make.SAFETENSORS)
    bare = forms.make.write(tmp_path / "clip_l.safetensors", wide.l)
    models: dict[str, forms.Model] = {
        "xl": files["sdxl"], "sd3": files["sd3-clip"], "lone": lone["sd1"], "bare": bare,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder, serving(Path(folder), models) as g:
        recipes = {model["name"]: model["recipes"] for model in g.models()}
        assert recipes["xl"] == ["sdxl", "sd1", "sdxl-refiner", "flux-clip"]
        assert recipes["sd3"] == ["sd3-clip", "sd1", "sdxl", "sdxl-refiner", "flux-clip"]
        assert recipes["bare"] == ["sd1", "flux-clip"]
        with pytest.raises(Exception, match="sdxl needs clip_l"):
            g.condition("a cat", "sdxl", model="lone")
        with pytest.raises(Exception, match="projection"):
            g.condition("a cat", "sd3-clip", model="xl")
