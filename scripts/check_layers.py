"""Checks the rules of docs/architecture that no compiler checks.

Imports point one way (Daemon → Guidance, IPC → Encoders …), no source imports full Foundation,
and no source file has grown past 500 lines.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "Sources"

#: What each Swift target may import of our own targets.
ALLOWED: dict[str, set[str]] = {
    "JSON": set(),
    "Encoders": {"JSON", "COpenBLAS", "CKernels", "CPNGReader", "CXXHash", "CEmbedded"},
    "Guidance": {"Encoders"},
    "IPC": {"JSON", "CZeroMQ"},
    "Daemon": {"JSON", "Encoders", "Guidance", "IPC"},
}
IMPORT = re.compile(r"^\s*(?:@\w+\s+)*(?:public |package |internal |private )?import (?:\w+ )?(\w+)")
LONGEST = 500


def main() -> int:
    """Prints each violation and returns the exit status."""
    problems: list[str] = []
    own = {path.name for path in SOURCES.iterdir()}
    for path in sorted(SOURCES.rglob("*.swift")):
        target = path.relative_to(SOURCES).parts[0]
        lines = path.read_text(encoding="utf-8").splitlines()
        name = path.relative_to(ROOT)
        if len(lines) > LONGEST:
            problems.append(f"{name}: {len(lines)} lines, more than {LONGEST}")
        for number, line in enumerate(lines, 1):
            match = IMPORT.match(line)
            if not match:
                continue
            module = match.group(1)
            if module == "Foundation":
                problems.append(f"{name}:{number}: imports full Foundation")
            if module in own and module not in ALLOWED.get(target, set()):
                problems.append(f"{name}:{number}: {target} must not import {module}")
    for problem in problems:
        print(problem)
    print(f"layers: {len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
