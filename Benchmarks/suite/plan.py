"""What one run of the benchmark does: the choices of its command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .models import Model
from .rounds import Effort

ROWS = (
    "image", "gradient", "text", "text77", "memory", "int8", "spearman", "daemon", "ping", "flat",
    "start", "preprocess", "condition", "conditioning",
)
PRECISIONS = ("f32", "bf16")


@dataclass(frozen=True)
class Plan:
    """``batches`` maps a work to its batch sizes, before a model's own limit; ``engines`` are the
    peers that take part. ``conditioning`` is the effort of that group of rows, which tell apart a
    percent and so take many rounds."""

    binary: Path
    models: tuple[Model, ...]
    precisions: tuple[str, ...]
    rows: frozenset[str]
    effort: Effort
    threads: int
    engines: tuple[str, ...]
    batches: dict[str, tuple[int, ...]] = field(default_factory=dict)
    flat_requests: int = 10_000
    pings: int = 2_000
    starts: int = 5
    conditioning: Effort = Effort(20, least=25.0, most=45.0)

    def batches_of(self, work: str, model: Model) -> tuple[int, ...]:
        """The batch sizes of a work on a model."""
        return tuple(n for n in self.batches[work] if n <= model.largest_batch)
