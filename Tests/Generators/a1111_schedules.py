"""Writes the fixture of the tests of A1111's schedules, from a second reading of its rules with a real grammar tool.

    python Tests/Generators/a1111_schedules.py

Rules (stable-diffusion-webui, `modules/prompt_parser.py`), put down here as a grammar for lark 1.3.1: nothing of that
program is used. A prompt that the grammar below does not take means itself as it stands; those with stray brackets,
which webui's own grammar takes in more than one way, are among the hand-made cases of the Swift tests instead.

Each case: `prompt`, `steps`, `texts` ([until step, text], ...).
"""

import json
import random
from pathlib import Path

import lark

OUT = Path(__file__).parents[1] / "PromptsTests" / "Fixtures" / "schedules.json"

PARSER = lark.Lark(
    r"""
    start: text
    text: (PLAIN | round | weighted | square | added | replaced | turns)*
    round: "(" text ")"
    weighted: "(" text ":" text ")"
    square: "[" text "]"
    added: "[" text ":" WHEN "]"
    replaced: "[" text ":" text ":" WHEN "]"
    turns: "[" text ("|" text)+ "]"
    PLAIN: /(?:[^\\()\[\]:|]|\\.)+/
    WHEN.2: /\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*(?=\])/
    """
)


def ends(tree: lark.Tree, steps: int) -> set[int]:
    found = {steps}
    for node in tree.iter_subtrees():
        if node.data in ("added", "replaced"):
            step = when(node.children[-1], steps)
            if step > 0:
                found.add(step)
        elif node.data == "turns":
            found |= set(range(1, steps + 1))
    return found


def when(token: str, steps: int) -> int:
    """A number with a point is a share of the steps, another one is a step; parts of steps do not count."""
    value = float(token) * steps if "." in token else float(token)
    return int(min(value, steps))


def render(tree, step: int, steps: int) -> str:
    if isinstance(tree, lark.Token):
        return str(tree)
    parts = tree.children
    inner = [render(part, step, steps) for part in parts if isinstance(part, lark.Tree)]
    match tree.data:
        case "start" | "text":
            return "".join(render(part, step, steps) for part in parts)
        case "round":
            return f"({inner[0]})"
        case "weighted":
            return f"({inner[0]}:{inner[1]})"
        case "square":
            return f"[{inner[0]}]"
        case "added":
            return "" if step <= when(parts[-1], steps) else inner[0]
        case "replaced":
            return inner[0] if step <= when(parts[-1], steps) else inner[1]
        case "turns":
            return inner[(step - 1) % len(inner)]
    raise ValueError(tree.data)


def schedule(prompt: str, steps: int) -> list | None:
    try:
        tree = PARSER.parse(prompt)
    except lark.exceptions.LarkError:
        return None
    texts: list = []
    for end in sorted(ends(tree, steps)):
        text = render(tree, end, steps)
        if texts and texts[-1][1] == text:
            texts.pop()
        texts.append([end, text])
    return texts


NUMBERS = ["3", "0.5", " 2 ", ".2", "1", "0", "-1", "9", "1.0", "1e0", "+2", "0.99", " 4", "2.", "\n3", "0.29"]
WORDS = ["a", "b ", " c", "a cat", " ", "é", "\\(", "\\[x\\]", "10", ",", ", ", "\n", "\\\\", "AND", "x-ray"]
FORMS = ["[%s:%s:%s]", "[%s:%s]", "[%s|%s]", "[%s|%s|%s]", "(%s)", "[%s]", "(%s:1.2)", "(%s:%s)"]


def random_prompt(rng: random.Random, depth: int = 0) -> str:
    out = []
    for _ in range(rng.randint(0 if depth else 1, 3)):
        if depth < 3 and rng.random() < 0.5:
            form = rng.choice(FORMS)
            inner = [random_prompt(rng, depth + 1) for _ in range(form.count("%s"))]
            if form.startswith("[") and ":" in form:
                inner[-1] = rng.choice(NUMBERS)
            out.append(form % tuple(inner))
        else:
            out.append(rng.choice(WORDS))
    return "".join(out)


def main() -> None:
    rng = random.Random(5)
    cases = []
    while len(cases) < 400:
        prompt = random_prompt(rng)
        steps = rng.choice([1, 2, 5, 10, 30])
        texts = schedule(prompt, steps)
        if texts is not None and len(prompt) < 80:
            cases.append({"prompt": prompt, "steps": steps, "texts": texts})
    rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases, {sum(len(case['texts']) > 1 for case in cases)} that change with the steps")


if __name__ == "__main__":
    main()
