"""Writes what `torch.save` and `torch.jit.save` write, without torch.

The layouts are those of `torch/serialization.py`: a zip file with the pickle and one entry for each
storage, or, from before torch 1.6, a sequence of pickles with the storages behind it; and TorchScript's
archive, whose pickle names classes that its own `code/` folder declares. That torch takes the files for
its own is checked by `Tests/Parity/test_written_files.py`.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# bfloat16 has no type in numpy: its bits are held as uint16.
STORAGES = {
    "float32": "FloatStorage", "float16": "HalfStorage", "uint16": "BFloat16Storage",
    "int64": "LongStorage",
}  # fmt: skip


def _rebuild_tensor_v2() -> None:
    """Only its name is used."""


_rebuild_tensor_v2.__module__ = "torch._utils"
_CLASSES = {name: type(name, (), {"__module__": "torch"}) for name in STORAGES.values()}


class _Storage:
    def __init__(self, values: NDArray[Any], key: str) -> None:
        self.values, self.key = values, key


class _Tensor:
    def __init__(self, values: NDArray[Any], key: str) -> None:
        self.storage = _Storage(np.asarray(values, order="C"), key)

    def __reduce__(self) -> tuple[Callable[[], None], tuple[object, ...]]:
        values = self.storage.values
        strides = tuple(step // values.itemsize for step in values.strides)
        return _rebuild_tensor_v2, (self.storage, 0, values.shape, strides, False, OrderedDict())


class _Archive:
    """The pickle of a tree, and the storages of its tensors in the order of their first use."""

    def __init__(self, root: object, *, legacy: bool = False, **modules: ModuleType) -> None:
        self.storages: list[_Storage] = []
        file = io.BytesIO()
        pickler = pickle.Pickler(file, protocol=2)

        def persistent(value: object) -> tuple[object, ...] | None:
            if not isinstance(value, _Storage):
                return None
            self.storages.append(value)
            kind = _CLASSES[STORAGES[value.values.dtype.name]]
            found = ("storage", kind, value.key, "cpu", value.values.size)
            return (*found, None) if legacy else found

        pickler.persistent_id = persistent  # type: ignore[method-assign]
        torch, utils = ModuleType("torch"), ModuleType("torch._utils")
        vars(torch).update(_CLASSES, _utils=utils)
        vars(utils)["_rebuild_tensor_v2"] = _rebuild_tensor_v2
        # A pickler looks up what it names: for as long as it runs, these are torch.
        with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils, **modules}):
            pickler.dump(root)
        self.pickle = file.getvalue()

    def write(self, path: Path, more: Mapping[str, bytes] | None = None) -> Path:
        """A zip file, with further entries by name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

            def add(name: str, data: bytes | memoryview) -> None:
                entry = zipfile.ZipInfo(f"{path.stem}/{name}")
                # torch pads the header so that data begins at a multiple of 64.
                length = -(file.tell() + 34 + len(entry.filename)) % ALIGNMENT
                entry.extra = b"FB" + length.to_bytes(2, "little") + b"Z" * length
                archive.writestr(entry, data)

            add("data.pkl", self.pickle)
            add("byteorder", b"little")
            for storage in self.storages:
                add(f"data/{storage.key}", storage.values.tobytes())
            for name, text in (more or {}).items():
                add(name, text)
            add("version", b"3\n")
        return path


def _with_tensors(value: object, key: Callable[[], str]) -> object:
    if isinstance(value, np.ndarray):
        return _Tensor(value, key())
    if isinstance(value, Mapping):
        return {name: _with_tensors(member, key) for name, member in value.items()}
    return value


def _keys(first: int = 0) -> Callable[[], str]:
    numbers = iter(range(first, sys.maxsize))
    return lambda: str(next(numbers))


def save(path: Path, root: Mapping[str, object]) -> Path:
    """As `torch.save` writes dictionaries, in which arrays are tensors."""
    return _Archive(_with_tensors(root, _keys())).write(path)


def save_legacy(path: Path, root: Mapping[str, object]) -> Path:
    """As torch wrote them before 1.6."""
    archive = _Archive(_with_tensors(root, _keys(94_000_000_000_000)), legacy=True)
    system = {
        "protocol_version": PROTOCOL,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for value in [MAGIC, PROTOCOL, system]:
            pickle.dump(value, file, protocol=2)
        file.write(archive.pickle)
        pickle.dump([storage.key for storage in archive.storages], file, protocol=2)
        for storage in archive.storages:
            file.write(storage.values.size.to_bytes(8, "little"))
            file.write(storage.values.tobytes())
    return path


def save_script(path: Path, tensors: Mapping[str, NDArray[Any]]) -> Path:
    """As `torch.jit.save` writes a module with these parameters by dotted names."""
    key, module = _keys(), ModuleType("__torch__")
    declarations: list[str] = []

    def build(members: Mapping[str, Any], name: str) -> object:
        kind = type(name, (), {"__module__": "__torch__"})
        setattr(module, name, kind)
        value = kind()
        parameters = [part for part, member in members.items() if not isinstance(member, dict)]
        types = {}
        for part, member in members.items():
            if part in parameters:
                types[part] = "Tensor"
                vars(value)[part] = _Tensor(member, key())
            else:
                types[part] = f"__torch__.{name}_{part}"
                vars(value)[part] = build(member, f"{name}_{part}")
        lines = [f"class {name}(Module):"]
        lines.append(f"  __parameters__ = [{''.join(f'{chr(34)}{part}{chr(34)}, ' for part in parameters)}]")
        lines.append("  __buffers__ = []")
        # A block's number is no identifier.
        if any(part.isdigit() for part in types):
            lines.append("  __annotations__ = []")
        for part, written in types.items():
            lines.append(f'  __annotations__["{part}"] = {written}' if part.isdigit() else f"  {part} : {written}")
        lines.append("  training : bool")
        vars(value)["training"] = False
        declarations.append("\n".join(lines) + "\n")
        return value

    tree: dict[str, Any] = {}
    for name, values in tensors.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = values
    archive = _Archive(build(tree, "CLIP"), __torch__=module)
    return archive.write(
        path,
        {"code/__torch__.py": "".join(declarations).encode(), "constants.pkl": b"\x80\x02)."},
    )
