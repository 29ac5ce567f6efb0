"""Makes `import torchvision` work beside a CPU build of torch.

torchvision's wheel is built for CUDA; beside a CPU torch its compiled operators do not load, and the import
fails when it registers shapes for them. Nothing here calls those operators, so names are enough. Import this
module before torchvision, open_clip or transformers' image processors.
"""

import importlib.util
import pathlib
import re

import torch


def define():
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return None
    text = (pathlib.Path(found.origin).parent / "_meta_registrations.py").read_text()
    names = set(re.findall(r'register_meta\("(\w+)', text))
    names |= set(re.findall(r'register_fake\("torchvision::(\w+)', text))
    library = torch.library.Library("torchvision", "DEF")
    for name in sorted(names):
        library.define(f"{name}(Tensor a) -> Tensor")
    return library


# Kept: the definitions live as long as the library object.
LIBRARY = define()
