"""Checks the rules of docs/architecture that no compiler checks.

Imports point one way (Daemon → Serving → Guidance, IPC → Encoders …; in the Python client transports → plans →
values), within a Swift target folders know only those below them, no source imports full Foundation, the Python
client needs numpy and pyzmq only, and no file, Swift or Python, has grown past 500 lines.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "Sources"

#: What each Swift target may import of our own targets.
ALLOWED: dict[str, set[str]] = {
    "System": set(),
    "JSON": set(),
    "Encoders": {"JSON", "System", "COpenBLAS", "CKernels", "CPNGReader", "CXXHash", "CEmbedded"},
    "Prompts": set(),
    "Guidance": {"Encoders", "Prompts", "CKernels"},
    "IPC": {"JSON", "System", "CZeroMQ", "CAcceptGuard"},
    "Serving": {"JSON", "System", "Encoders", "Prompts", "Guidance", "IPC"},
    "Daemon": {"JSON", "System", "Encoders", "Prompts", "Guidance", "IPC", "Serving"},
}
#: Which folders of its own target a folder's files must not name a type of.
APART: dict[str, set[str]] = {
    "Encoders/Image": {"Checkpoints", "Compute", "Text", "Towers", "Families"},
    "Encoders/Text": {"Compute", "Image", "Towers", "Families"},
    "Encoders/Compute": {"Image", "Text", "Towers", "Families"},
    "Encoders/Towers": {"Image", "Text", "Families"},
    "Prompts/Languages": {"Compilation"},
    "Prompts/Program": {"Compilation"},
    "Guidance/Conditioning": {"Scoring", "Steering", "Latents", "Maps", "Objectives", "Cutouts"},
    "Guidance/Scoring": {"Conditioning", "Steering", "Latents", "Maps", "Objectives", "Cutouts"},
    "Guidance/Maps": {"Conditioning", "Scoring", "Steering", "Objectives"},
    "Guidance/Objectives": {"Conditioning", "Steering", "Latents", "Cutouts"},
    "Guidance/Steering": {"Conditioning", "Scoring"},
    "Serving/Scheduler": {"Conditioning"},
    "Serving/Models": {"Conditioning", "Operations", "Service"},
    "Serving/Conditioning": {"Service"},
    "Serving/Operations": {"Service"},
    "Daemon/Configuration": {"CommandLine"},
}
#: A type that is declared at the left margin and seen outside of its file.
DECLARATION = re.compile(
    r"^(?:@\w+(?:\([^)]*\))? +)*(?:package |public |final |indirect )*"
    r"(?:class|struct|enum|protocol|actor|typealias) +(\w+)",
    re.MULTILINE,
)
IMPORT = re.compile(r"^\s*(?:@\w+\s+)*(?:public |package |internal |private )?import (?:\w+ )?(\w+)")
LONGEST = 500


#: Where Python files are held to the length.
PYTHON = ("Benchmarks", "Clients", "Examples", "Tests", "scripts")
CLIENT = ROOT / "Clients/python/src/guidanced"

#: The Python client from the bottom to the top: a module imports only from lower layers and its own.
LAYERS = (
    ("errors",),
    ("arguments", "limits", "results", "wire"),
    ("conditioning", "pillow", "pieces", "images"),
    ("plans",),
    ("calling", "connection", "attempts"),
    ("transport", "async_transport"),
    ("client_base", "async_client_base"),
    ("client", "async_client"),
    ("search", "torch"),
    ("rerank",),
    ("diffusers",),
    ("__init__",),
)
#: What the client needs besides the standard library, and where; everything else is optional, and
#: imported inside of functions.
NEEDED = {"numpy": None, "zmq": {"connection", "transport", "async_transport"}}
#: Modules that do not wait, read clocks or open sockets.
PURE = {"errors", "arguments", "limits", "results", "wire", "conditioning", "pillow", "images"}
IMPURE = {"asyncio", "socket", "threading", "time", "zmq"}


def main() -> int:
    """Prints each violation and returns the exit status."""
    problems = swift_problems() + folder_problems() + length_problems() + client_problems()
    for problem in problems:
        print(problem)
    print(f"layers: {len(problems)} problem(s)")
    return 1 if problems else 0


def swift_problems() -> list[str]:
    """What Swift sources import that they must not."""
    problems: list[str] = []
    own = {path.name for path in SOURCES.iterdir()}
    for path in sorted(SOURCES.rglob("*.swift")):
        target = path.relative_to(SOURCES).parts[0]
        name = path.relative_to(ROOT)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = IMPORT.match(line)
            if not match:
                continue
            module = match.group(1)
            if module == "Foundation":
                problems.append(f"{name}:{number}: imports full Foundation")
            if module in own and module not in ALLOWED.get(target, set()):
                problems.append(f"{name}:{number}: {target} must not import {module}")
    return problems


def folder_problems() -> list[str]:
    """Which Swift files name a type of a folder that is not theirs to know."""
    sources = {path: path.relative_to(SOURCES).parts for path in sorted(SOURCES.rglob("*.swift"))}
    homes: dict[str, dict[str, str]] = {}
    for path, parts in sources.items():
        if len(parts) > 2:
            for name in DECLARATION.findall(path.read_text(encoding="utf-8")):
                homes.setdefault(parts[0], {})[name] = parts[1]
    problems: list[str] = []
    for path, parts in sources.items():
        forbidden = APART.get("/".join(parts[:2]), set()) if len(parts) > 2 else set()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            code = re.sub(r'"(?:\\.|[^"\\])*"', "", line).split("//")[0]
            for word in re.findall(r"(?<![\w.])[A-Z]\w*", code):
                home = homes.get(parts[0], {}).get(word)
                if home in forbidden:
                    name = path.relative_to(ROOT)
                    problems.append(f"{name}:{number}: {parts[1]} must not know {word} of {home}")
    return problems


def length_problems() -> list[str]:
    """Files that are too long."""
    paths = list(SOURCES.rglob("*.swift"))
    for folder in PYTHON:
        paths += (ROOT / folder).rglob("*.py")
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(paths)}
    return [
        f"{path.relative_to(ROOT)}: {count} lines, more than {LONGEST}"
        for path, count in counts.items()
        if count > LONGEST
    ]


def client_problems() -> list[str]:
    """What modules of the Python client import that they must not."""
    layer = {name: place for place, names in enumerate(LAYERS) for name in names}
    problems: list[str] = []
    for path in sorted(CLIENT.rglob("*.py")):
        parts = path.relative_to(CLIENT).with_suffix("").parts
        module, name = parts[0], path.relative_to(ROOT)
        if module not in layer:
            problems.append(f"{name}: {module} has no layer in {Path(__file__).name}")
            continue
        for line, is_own, imported in imports(path, len(parts) - 1):
            if is_own:
                if layer.get(imported, 0) > layer[module]:
                    problems.append(f"{name}:{line}: {module} must not import {imported}")
                continue
            places = NEEDED.get(imported, set())
            if imported not in sys.stdlib_module_names and places is not None and module not in places:
                problems.append(f"{name}:{line}: {module} must not need {imported}")
            if module in PURE and imported in IMPURE:
                problems.append(f"{name}:{line}: {module} is pure, and must not import {imported}")
    return problems


def imports(path: Path, depth: int) -> list[tuple[int, bool, str]]:
    """Line, whether it is the client's own, and the module, of each import outside of functions."""
    found: list[tuple[int, bool, str]] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found += [(node.lineno, False, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.lineno, False, (node.module or "").split(".")[0]))
        elif isinstance(node, ast.ImportFrom):
            inside = path.relative_to(CLIENT).parts[: depth + 1 - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                found.append((node.lineno, True, inside[0] if inside else name.split(".")[0]))
    return found


if __name__ == "__main__":
    sys.exit(main())
