"""The wheel and the source archive, in an environment with numpy and pyzmq and nothing else."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fake_daemon import Request, reply

PROJECT = Path(__file__).resolve().parents[1]
MODULES = {
    str(path.relative_to(PROJECT / "src")) for path in (PROJECT / "src").rglob("*.py")
} | {"guidanced/py.typed"}


def run(*arguments: Any, **more: Any) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments], capture_output=True, text=True, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, which was built from the source archive beside it."""
    for module in ("build", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__", ".*")
    shutil.copytree(PROJECT, source, ignore=unwanted)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    return folder


@pytest.fixture(scope="module")
def bare(built: Path) -> Path:
    """The Python of an environment with the wheel, numpy and pyzmq."""
    folder = built / "bare"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for module in ("numpy", "zmq"):
        found = importlib.util.find_spec(module)
        assert found is not None and found.origin is not None
        package = Path(found.origin).parent
        for path in (package, *package.parent.glob(f"*{module}.libs")):
            os.symlink(path, site / path.name)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return python


def test_both_archives_have_every_module_and_no_test(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == MODULES
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        inside = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {f"src/{name}" for name in MODULES} <= inside and "README.md" in inside


def test_the_metadata_need_numpy_and_pyzmq_only(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        text = archive.read(name).decode()
    needed = [line for line in text.splitlines() if line.startswith("Requires-Dist:")]
    assert sorted(line.split()[1].split(">")[0] for line in needed if "extra" not in line) == [
        "numpy", "pyzmq",
    ]
    assert "Requires-Python: >=3.10" in text


SCRIPT = """
import asyncio, importlib, pkgutil, sys
import guidanced
assert "site-packages" in guidanced.__file__, guidanced.__file__
for module in pkgutil.walk_packages(guidanced.__path__, "guidanced."):
    importlib.import_module(module.name)
for name in ("PIL", "torch", "diffusers"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
    else:
        raise AssertionError(name + " is here")
import numpy as np
endpoint, jpeg, png = sys.argv[1:]
images = [png, open(png, "rb"), open(png, "rb").read(), np.zeros((4, 4, 3), np.uint8), jpeg]
with guidanced.Client(endpoint) as g:
    rows = g.embed_image(images)
    assert rows.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]], rows
    found = g.embed_image([*images, "missing.png"], strict=False)
    assert found.items[0].error.code == "unreadable_file"

async def work():
    async with guidanced.AsyncClient(endpoint) as g:
        return await asyncio.gather(*(g.embed_image(image) for image in images))

assert len(asyncio.run(work())) == 5
print("done")
"""


def test_it_works_without_pillow_and_torch(bare: Path, daemon: Any, tmp_path: Path) -> None:
    jpeg, png = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(jpeg)
    Image.new("RGB", (8, 8)).save(png)

    def handler(request: Request) -> Any:
        return [reply(request, {}, {"embeddings": np.arange(request.items())[:, None]})]

    fake = daemon(handler)
    environment = {"PATH": os.environ["PATH"]}
    arguments = [bare, "-I", "-W", "error", "-c", SCRIPT, fake.endpoint, jpeg, png]
    assert run(*arguments, env=environment, cwd=tmp_path) == "done\n"
    # Without Pillow a JPEG goes as it is; the daemon says whether it can read it.
    buffer = io.BytesIO(jpeg.read_bytes())
    assert fake.requests[0].arrays()[-1] == buffer.getvalue()
