"""The demo's findings as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from climb import Climb
from colours import LINES
from findings import Findings, Heat, Named, RankedPrompt

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #ffffff; --ink: #1d1f24;
  --quiet: #6d717b; --line: #e4e1d8; --bar: #2e86ab; --right: #2f8f5b; --wrong: #c8372d; }
@media (prefers-color-scheme: dark) { :root { --paper: #15161a; --card: #1d1f25; --ink: #eceae4;
  --quiet: #9a9da6; --line: #30333b; --bar: #58b2d6; --right: #5cc48c; --wrong: #f0776d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 2rem; margin: 0 0 4px; letter-spacing: -.02em; }
h2 { font-size: 1.3rem; margin: 56px 0 4px; letter-spacing: -.01em; }
p { margin: 4px 0 20px; color: var(--quiet); max-width: 68ch; }
code { font: .88em ui-monospace, "SF Mono", Menlo, monospace; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px; margin: 20px 0 0; padding: 0; }
.facts li { list-style: none; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: 10px 16px; }
.facts b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.facts span { color: var(--quiet); font-size: .82rem; }
.prompt { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 16px 18px; margin: 0 0 14px; }
.prompt h3 { font-size: 1.02rem; font-weight: 600; margin: 0 0 12px; }
.tick { color: var(--right); margin-right: 6px; } .cross { color: var(--wrong); margin-right: 6px; }
.row { display: grid; grid-template-columns: repeat(7, 1fr); gap: 14px; }
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; border-radius: 8px; background: var(--line); }
.pixels { image-rendering: auto; }
.first img { outline: 3px solid var(--right); outline-offset: 2px; }
.first.bad img { outline-color: var(--wrong); }
figcaption { font-size: .78rem; color: var(--quiet); margin-top: 6px; line-height: 1.35;
  font-variant-numeric: tabular-nums; }
.meter { height: 4px; border-radius: 2px; background: var(--line); margin-top: 9px;
  overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--bar); border-radius: 2px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 14px; }
.named { display: grid; grid-template-columns: 92px 1fr; gap: 14px; background: var(--card);
  border: 1px solid var(--line); border-radius: 12px; padding: 12px; }
.named ol { list-style: none; margin: 0; padding: 0; font-size: .78rem; min-width: 0; }
.named li { margin-bottom: 5px; color: var(--quiet); }
.named li:first-child { color: var(--ink); font-weight: 600; }
.named .label { display: flex; justify-content: space-between; gap: 8px; }
.named .label span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.named .meter { margin-top: 2px; }
.heats { display: grid; grid-template-columns: repeat(4, 1fr); gap: 16px; }
.climb { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 16px 18px; margin-bottom: 14px; }
.climb h3 { font-size: 1rem; margin: 0 0 12px; font-weight: 600; }
.climb .key { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 8px; vertical-align: -1px; }
.frames { display: grid; grid-template-columns: repeat(6, 1fr); gap: 14px; }
svg { width: 100%; height: auto; display: block; background: var(--card);
  border: 1px solid var(--line); border-radius: 14px; margin-bottom: 14px; }
svg text { fill: var(--quiet); font: 12px system-ui, sans-serif; }
svg .grid-line { stroke: var(--line); stroke-width: 1; }
svg .curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
@media (max-width: 720px) { .row { grid-template-columns: repeat(4, 1fr); }
  .heats, .frames { grid-template-columns: repeat(2, 1fr); } }
"""


def write(findings: Findings, path: Path) -> None:
    """Writes the page; pictures are inside it, so it can be sent around as one file."""
    right = sum(ranked.is_right for ranked in findings.rankings)
    named = sum(entry.is_right for entry in findings.names)
    gain = min(climb.scores[-1] - climb.scores[0] for climb in findings.climbs)
    facts = [
        (f"{right} of {len(findings.rankings)}", "prompts with the right picture first"),
        (f"{named} of {len(findings.names)}", "pictures named rightly"),
        (f"+{gain:.2f}", "cosine gained, the least of the climbs"),
        *((_duration(seconds), name) for name, seconds in findings.timings.items()),
    ]
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>guidanced demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head><body><main>
<h1>guidanced</h1>
<p>One daemon, one model, four questions asked over ZeroMQ: which picture fits a prompt, what a
picture shows, which of its pixels matter, and how to change them. Model
<code>{html.escape(findings.model)}</code>, fingerprint
<code>{html.escape(findings.fingerprint[:16])}</code>.</p>
<ul class="facts">{"".join(f"<li><b>{v}</b><span>{html.escape(n)}</span></li>" for v, n in facts)}
</ul>
<h2>Ranking</h2>
<p>Every prompt against all {len(findings.names)} pictures; the seven best, with the cosine of
picture and prompt.</p>
{"".join(map(_ranking, findings.rankings))}
<h2>Classification</h2>
<p>Zero-shot: each picture among the descriptions of all, with the three most probable.</p>
<div class="grid">{"".join(map(_named, findings.names))}</div>
<h2>Which pixels matter</h2>
<p>The size of the score’s gradient at each pixel, averaged over slightly noisy copies: the same
picture, asked for different things.</p>
{_heats(findings.heats)}
<h2>Climbing the gradient</h2>
<p>From plain grey and from noise towards a prompt, with nothing but the daemon’s gradients and a
few lines of numpy.</p>
{_curves(findings.climbs)}
{"".join(_climb(c, colour) for c, colour in zip(findings.climbs, LINES))}
</main></body></html>
"""
    path.write_text(body, encoding="utf-8")


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _data(image: Image.Image, side: int) -> str:
    buffer = io.BytesIO()
    if image.size != (side, side):
        image = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _file(path: Path, side: int = 160) -> str:
    with Image.open(path) as image:
        return _data(image.convert("RGB"), side)


def _meter(part: float) -> str:
    return f'<div class="meter"><i style="width:{100 * min(max(part, 0), 1):.1f}%"></i></div>'


def _ranking(ranked: RankedPrompt) -> str:
    mark = (
        '<span class="tick">✓</span>'
        if ranked.is_right
        else f'<span class="cross">✗ expected {html.escape(ranked.expected)}</span>'
    )
    figures = []
    for place, (picture, score) in enumerate(ranked.order[:7]):
        kind = ("first" if ranked.is_right else "first bad") if place == 0 else ""
        figures.append(
            f'<figure class="{kind}"><img src="{_file(picture.path)}" '
            f'alt="{html.escape(picture.label)}">{_meter(score)}'
            f"<figcaption>{score:.3f}</figcaption></figure>"
        )
    return (
        f'<section class="prompt"><h3>{mark}“{html.escape(ranked.prompt)}”</h3>'
        f'<div class="row">{"".join(figures)}</div></section>'
    )


def _named(entry: Named) -> str:
    lines = "".join(
        f'<li><div class="label"><span title="{html.escape(label)}">{html.escape(label)}</span>'
        f"<span>{100 * part:.0f}%</span></div>{_meter(part)}</li>"
        for label, part in entry.best[:3]
    )
    return (
        f'<div class="named"><figure><img src="{_file(entry.picture.path)}" '
        f'alt="{html.escape(entry.picture.label)}"><figcaption>'
        f"{html.escape(entry.picture.maker)}</figcaption></figure><ol>{lines}</ol></div>"
    )


def _heats(heats: list[Heat]) -> str:
    figures = []
    shown = ""
    for heat in heats:
        if heat.picture.name != shown:
            shown = heat.picture.name
            figures.append(
                f'<figure><img src="{_file(heat.picture.path, 256)}" alt="{html.escape(shown)}">'
                f"<figcaption>{html.escape(heat.picture.label)}</figcaption></figure>"
            )
        figures.append(
            f'<figure><img src="{_data(heat.image, 256)}" alt="heat map">'
            f"<figcaption>“{html.escape(heat.prompt)}”</figcaption></figure>"
        )
    return f'<div class="heats">{"".join(figures)}</div>'


def _curves(climbs: list[Climb]) -> str:
    width, height, left, top = 1000, 300, 52, 20
    low = min(0.0, *(min(climb.scores) for climb in climbs))
    high = max(max(climb.scores) for climb in climbs) * 1.05
    steps = len(climbs[0].scores) - 1

    def x(step: float) -> float:
        return left + (width - left - 24) * step / steps

    def y(score: float) -> float:
        return top + (height - top - 36) * (1 - (score - low) / (high - low))

    parts = []
    for tick in np.arange(np.ceil(low * 5) / 5, high, 0.2):
        parts.append(
            f'<line class="grid-line" x1="{left}" x2="{width - 24}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text x="{left - 10}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{tick:.1f}</text>'
        )
    for step in range(0, steps + 1, max(1, steps // 5)):
        parts.append(
            f'<text x="{x(step):.1f}" y="{height - 12}" text-anchor="middle">{step}</text>'
        )
    for climb, colour in zip(climbs, LINES):
        points = " ".join(f"{x(i):.1f},{y(s):.1f}" for i, s in enumerate(climb.scores))
        dashes = ' stroke-dasharray="7 5"' if climb.start == "noise" else ""
        title = html.escape(f"{climb.prompt}, from {climb.start}")
        parts.append(
            f'<polyline class="curve" stroke="{colour}"{dashes} points="{points}">'
            f"<title>{title}</title></polyline>"
        )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="score over steps">'
        f"{''.join(parts)}</svg>"
    )


def _climb(climb: Climb, colour: str) -> str:
    frames = "".join(
        f'<figure><img class="pixels" src="{_data(Image.fromarray(pixels), 192)}" '
        f'alt="step {step}"><figcaption>step {step} · {climb.scores[step]:.2f}</figcaption></figure>'
        for step, pixels in climb.frames
    )
    return (
        f'<section class="climb"><h3><span class="key" style="background:{colour}"></span>'
        f"“{html.escape(climb.prompt)}” from {html.escape(climb.start)}: "
        f"{climb.scores[0]:.2f} → {climb.scores[-1]:.2f}</h3>"
        f'<div class="frames">{frames}</div></section>'
    )
