"""Search over a sampler's noises, and steering of its particles, by scores alone or with gradients.

Nothing here knows a sampler: it is handed in as functions of numpy arrays (or of torch tensors, where a
function says so), and so is the score; ``scorer`` makes one of a client and a prompt.

>>> from guidanced import search
>>> found = search.best_of_n(sample, search.scorer(g, "a red circle"), (4, 64, 64), 8)
>>> found.best.image
"""

from .candidates import Candidate, Found, best_of_n, random_search, zero_order
from .noise import clipped, draw, neighbours, renormalized
from .paths import paths
from .regularizers import dno_regularizer, reno_regularizer, zeroth_order_direction
from .steering import FeynmanKac, Resampling, Steered, feynman_kac
from .tempering import (
    TemperedSMC,
    adaptive_temperature,
    exponential_temperatures,
    power_temperatures,
    tempered_proposal,
)
from .verifiers import mean_ranks, scorer
from .weights import effective_size, normalized, resample

__all__ = [
    "Candidate",
    "FeynmanKac",
    "Found",
    "Resampling",
    "Steered",
    "TemperedSMC",
    "adaptive_temperature",
    "best_of_n",
    "clipped",
    "dno_regularizer",
    "draw",
    "effective_size",
    "exponential_temperatures",
    "feynman_kac",
    "mean_ranks",
    "neighbours",
    "normalized",
    "paths",
    "power_temperatures",
    "random_search",
    "reno_regularizer",
    "renormalized",
    "resample",
    "scorer",
    "tempered_proposal",
    "zero_order",
    "zeroth_order_direction",
]
