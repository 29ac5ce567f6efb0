"""The command line: in process and through a daemon it says the same."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon import ROOT, Daemon, binary
from guidanced import Client
from pictures import shape

SUBCOMMANDS = "serve embed score rank classify gradient tokenize models verify".split()


def run(*arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        [binary(), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )
    if code is not None:
        assert process.returncode == code, process.stderr
    return process


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("gallery")
    paths = []
    for kind, colour in (("circle", "red"), ("square", "blue"), ("triangle", "green")):
        paths.append(folder / f"{colour} {kind}.png")
        shape(kind, colour, size=100).save(paths[-1])
    return paths


def both(daemon: Daemon, *arguments: object) -> str:
    """The output in process, which must be the output through the daemon."""
    here = run(*arguments)
    there = run(*arguments, "--connect", daemon.endpoint)
    assert here.stdout == there.stdout
    return here.stdout


def test_help_of_everything() -> None:
    overview = run("--help").stdout
    for name in SUBCOMMANDS:
        assert name in overview
        text = run(name, "--help").stdout
        assert "USAGE" in text and name in text and len(text) > 150
    assert run("--version").stdout.strip()
    assert "complet" in run("--generate-completion-script", "bash").stdout


def test_score_in_every_format(daemon: Daemon, gallery: list[Path]) -> None:
    prompts = ["--prompt", "a red circle", "--prompt", "a blue square"]
    with Client(daemon.endpoint) as g:
        expected = g.score(gallery, ["a red circle", "a blue square"])
    parsed = json.loads(both(daemon, "score", *gallery, *prompts, "--format", "json"))
    flat = [float(v) for v in np.ravel(_numbers(parsed))]
    assert all(np.isclose(flat, value, atol=1e-5).any() for value in expected.ravel())
    rows = list(csv.reader(io.StringIO(both(daemon, "score", *gallery, *prompts, "--format", "csv"))))
    assert len(rows) >= 4
    numbers = [float(cell) for row in rows[1:] for cell in row if _is_number(cell)]
    assert all(np.isclose(numbers, value, atol=1e-4).any() for value in expected.ravel())
    table = both(daemon, "score", *gallery, *prompts)
    assert all(path.name in table for path in gallery)
    logit = both(daemon, "score", *gallery, *prompts, "--metric", "logit", "--format", "csv")
    assert logit != "\n".join(map(",".join, rows))


def _numbers(value: object) -> list[float]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, (int, float)):
        return [float(value)]
    entries = value.values() if isinstance(value, dict) else value
    return [number for entry in entries for number in _numbers(entry)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_rank(daemon: Daemon, gallery: list[Path]) -> None:
    table = both(daemon, "rank", *gallery, "--prompt", "a blue square")
    positions = [table.index(path.name) for path in gallery]
    assert positions[1] == min(positions)
    top = both(daemon, "rank", *gallery, "--prompt", "a green triangle", "--top", 1)
    assert gallery[2].name in top and gallery[0].name not in top
    assert json.loads(both(daemon, "rank", *gallery, "--prompt", "x", "--format", "json"))


def test_classify(daemon: Daemon, gallery: list[Path], tmp_path: Path) -> None:
    labels = "red circle,blue square,green triangle"
    table = both(daemon, "classify", *gallery, "--labels", labels)
    assert all(path.name in table for path in gallery)
    listed = tmp_path / "labels.txt"
    listed.write_text(labels.replace(",", "\n") + "\n")
    templates = tmp_path / "templates.txt"
    templates.write_text("a photo of a {}.\n")
    same = both(daemon, "classify", *gallery, "--labels-file", listed, "--templates", templates)
    assert same == table


def test_embed_to_json_and_npy(daemon: Daemon, gallery: list[Path], tmp_path: Path) -> None:
    with Client(daemon.endpoint) as g:
        text, image = g.embed_text("a cat"), g.embed_image(gallery[0])
    parsed = json.loads(both(daemon, "embed", "--text", "a cat", "--image", gallery[0], "--format", "json"))
    numbers = np.array(_numbers(parsed))
    assert all(np.isclose(numbers, value, atol=1e-6).any() for value in text.ravel())
    stored = []
    for number, connect in enumerate(([], ["--connect", daemon.endpoint])):
        out = tmp_path / f"{number}.npy"
        run("embed", "--text", "a cat", "--image", gallery[0], "--format", "npy", "--out", out, *connect)
        stored.append(np.load(out, allow_pickle=False))
    assert stored[0].dtype == np.float32 and np.array_equal(*stored)
    assert np.allclose(stored[0], np.concatenate([text, image]), atol=1e-6)


def test_gradient_to_npy_and_heat_map(daemon: Daemon, gallery: list[Path], tmp_path: Path) -> None:
    with Client(daemon.endpoint) as g:
        expected = g.gradient(gallery[0], "a red circle").gradient
    for number, connect in enumerate(([], ["--connect", daemon.endpoint])):
        out, heat = tmp_path / f"{number}.npy", tmp_path / f"{number}.png"
        run(
            "gradient", gallery[0], "--prompt", "a red circle", "--out", out, "--heatmap", heat,
            *connect,
        )
        gradient = np.load(out, allow_pickle=False)
        assert gradient.dtype == np.float32
        assert np.array_equal(gradient.reshape(expected.shape), expected)
        with Image.open(heat) as picture:
            picture.load()
            assert picture.size == (100, 100) and len(set(picture.convert("RGB").tobytes())) > 10


def test_tokenize_and_models(daemon: Daemon) -> None:
    with Client(daemon.endpoint) as g:
        tokens = g.tokenize("a slice of pizza").tokens[0]
        fingerprint = g.models()[0]["fingerprint"]
    text = both(daemon, "tokenize", "a slice of pizza")
    assert all(str(token) in text for token in tokens)
    models = both(daemon, "models")
    assert "default" in models and fingerprint[:8] in models


def test_verify_checks_a_checkpoint(tmp_path: Path) -> None:
    text = run("verify", ROOT / "Models/default").stdout
    for word in ("vision", "text", "gradient", "batch"):
        assert word in text.lower()


def damaged(folder: Path, change: str) -> Path:
    source = ROOT / "Models/default"
    target = folder / change.replace(" ", "-")
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    weights = target / "model.safetensors"
    if change == "cut short":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif change == "no weights":
        weights.unlink()
    elif change == "no configuration":
        (target / "config.json").unlink()
    elif change == "a broken configuration":
        (target / "config.json").write_text("{")
    else:
        blob = weights.read_bytes()
        size = int.from_bytes(blob[:8], "little")
        header = json.loads(blob[8 : 8 + size])
        name = next(n for n in header if n.endswith("visual_projection.weight"))
        data = blob[8 + size :]
        if change == "a missing tensor":
            begin, end = header.pop(name)["data_offsets"]
            data = data[:begin] + data[end:]
            for entry in header.values():
                if "data_offsets" in entry and entry["data_offsets"][0] >= end:
                    entry["data_offsets"] = [v - (end - begin) for v in entry["data_offsets"]]
        else:
            rows, columns = header[name]["shape"]
            header[name]["shape"] = [rows, columns // 2, 2]
        text = json.dumps(header).encode()
        weights.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return target


@pytest.mark.parametrize(
    "change",
    ["cut short", "no weights", "no configuration", "a broken configuration", "a missing tensor",
     "a mis-shaped tensor"],
)
def test_verify_and_serve_refuse_a_damaged_checkpoint(tmp_path: Path, change: str) -> None:
    folder = damaged(tmp_path, change)
    process = run("verify", folder, code=None)
    assert process.returncode not in (0, None) and process.returncode > 0, "no crash, but an error"
    message = process.stderr + process.stdout
    assert folder.name in message or "model.safetensors" in message or "config.json" in message
    if "tensor" in change:
        assert "visual_projection" in message
    serve = run("serve", "--bind", f"ipc://{tmp_path}/s", "--model", f"m={folder}", code=None)
    assert serve.returncode > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "dance"),
        (["score", "none.png", "--prompt", "a"], "none.png"),
        (["score", "README.md"], "prompt"),
        (["rank", "none.png"], "prompt"),
        (["serve", "--bind", "ipc:///nonexistent/folder/x"], "nonexistent"),
        (["serve", "--model", "a=/nonexistent"], "nonexistent"),
        (["verify", "/nonexistent"], "nonexistent"),
        (["embed", "--text", "a", "--connect", "ipc:///nonexistent"], "nonexistent"),
        (["score", "x.png", "--prompt", "a", "--metric", "euclid"], "euclid"),
    ],
)
def test_errors_have_a_message_and_an_exit_code(arguments: list[str], words: str) -> None:
    process = run(*arguments, code=None)
    assert process.returncode > 0 and words in process.stderr


def test_a_bad_picture_among_good_ones_is_told_and_the_others_are_scored(
    daemon: Daemon, gallery: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    for connect in ([], ["--connect", daemon.endpoint]):
        process = run("score", gallery[0], bad, "--prompt", "a red circle", *connect, code=None)
        assert process.returncode > 0
        assert "bad.png" in process.stderr and gallery[0].name in process.stdout


def test_a_very_long_text_is_an_error_through_both_ways(daemon: Daemon) -> None:
    for connect in ([], ["--connect", daemon.endpoint]):
        process = run("embed", "--text", "a " * 500, *connect, code=None)
        assert process.returncode > 0 and "token" in process.stderr


def test_names_of_files_are_bytes_and_texts_are_utf8(gallery: list[Path], tmp_path: Path) -> None:
    picture = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(picture, "wb") as file:
        file.write(gallery[0].read_bytes())
    out = os.fsencode(tmp_path) + b"/\xff.npy"

    def call(*arguments: bytes | str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [os.fsencode(binary()), *map(os.fsencode, arguments)],
            capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
        )

    whole = call("embed", "--image", picture, "--out", out)
    assert whole.returncode == 0, whole.stderr
    expected = call("embed", "--image", str(gallery[0]), "--format", "npy", "--out", "-").stdout
    with open(out, "rb") as file:
        assert file.read() == expected
    scored = call("score", picture, "--prompt", "caf\u00e9", "--format", "csv")
    assert scored.returncode == 0, scored.stderr
    assert "caf\ufffd.png" in scored.stdout.decode()
    for arguments in [
        ("score", str(gallery[0]), "--prompt", b"caf\xe9"),
        ("embed", "--text", b"caf\xe9"),
        ("classify", str(gallery[0]), "--labels", b"dog,caf\xe9"),
        ("tokenize", b"caf\xe9"),
    ]:
        refused = call(*arguments)
        assert refused.returncode == 64, (arguments, refused.stderr)
        assert b"UTF-8" in refused.stderr and b"0xE9" in refused.stderr and not refused.stdout


def test_a_byte_order_mark_is_no_part_of_a_label(gallery: list[Path], tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    plain.write_text("red circle\nblue square\n")
    marked.write_text("red circle\nblue square\n", encoding="utf-8-sig")
    arguments = ["classify", gallery[0], "--format", "json", "--labels-file"]
    assert run(*arguments, marked).stdout == run(*arguments, plain).stdout


def test_profiles_are_chosen_and_named(tmp_path: Path) -> None:
    # Noise with alpha: the profiles differ in the resize, and in what becomes of alpha.
    noise = np.random.default_rng(5).integers(0, 256, (150, 97, 4), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    embeddings = {}
    for profile in ["transformers-pil", "transformers-torchvision", "open_clip", "comfy"]:
        report = json.loads(
            run("verify", "embedded:default", "--image-profile", profile, "--format", "json").stdout
        )
        assert report["image_profile"] == profile and report["passed"]
        embeddings[profile] = run(
            "embed", "--image", tmp_path / "noise.png", "--image-profile", profile
        ).stdout
    plain = run("embed", "--image", tmp_path / "noise.png").stdout
    assert embeddings["transformers-pil"] == plain
    assert len(set(embeddings.values())) == 4


def test_a_turned_picture_is_named(gallery: list[Path], tmp_path: Path) -> None:
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x112] = 6
    Image.open(gallery[0]).save(turned, exif=exif)
    warned = run("score", turned, "--prompt", "a dog", "--format", "csv")
    assert "EXIF orientation 6" in warned.stderr
    plain = run("score", gallery[0], "--prompt", "a dog", "--format", "csv")
    assert "warning" not in plain.stderr
    assert warned.stdout.split(",")[-1] == plain.stdout.split(",")[-1]
