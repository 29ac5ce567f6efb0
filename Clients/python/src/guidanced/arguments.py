"""Checks of what callers hand in besides images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union

from .errors import ArgumentError, ArgumentTypeError

Texts = Union[str, Sequence[str]]
"""One text, or several."""

PRIORITIES = range(-100, 101)
"""What the protocol allows; higher ones are served first."""


def strings(value: object, name: str) -> tuple[str, ...]:
    """One text or several as a tuple, each of which UTF-8 can carry."""
    found = listed(value, name)
    for index, entry in enumerate(found):
        problem = text_problem(entry)
        if problem is not None:
            where = name if isinstance(value, str) else f"{name}[{index}]"
            kind = ArgumentError if isinstance(entry, str) else ArgumentTypeError
            raise kind(f"{where}: {problem}")
    return found


def listed(value: object, name: str) -> tuple[Any, ...]:
    """One text or several as a tuple, the entries unchecked."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        raise ArgumentTypeError(
            f"{name}: expected a string or a sequence of strings, found {shown(value)}"
        )
    found = tuple(value)
    if not found:
        raise ArgumentError(f"{name}: expected at least one, found none")
    return found


def text_problem(text: object) -> str | None:
    """What keeps a text from being sent; ``None`` when nothing does."""
    if not isinstance(text, str):
        return f"expected a string, found {shown(text)}"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        return (
            f"a lone surrogate U+{ord(text[problem.start]):04X} at character {problem.start}, "
            "which UTF-8 cannot carry"
        )
    return None


def shown(value: object) -> str:
    """A value for an error message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… ({type(value).__name__})"


def numbers(values: Iterable[Any], name: str) -> list[float]:
    """Finite numbers as floats."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as problem:
        raise ArgumentTypeError(f"{name}: expected numbers: {problem}") from None
    for index, value in enumerate(found):
        if not math.isfinite(value):
            raise ArgumentError(f"{name}[{index}]: expected a finite number, found {value}")
    return found


def seconds(value: float | None, name: str) -> float:
    """A time above 0; ``None`` and infinity both mean that there is no limit."""
    if value is None:
        return math.inf
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{name}: expected a number of seconds, found {shown(value)}"
        ) from None
    if not number > 0:  # also NaN
        raise ArgumentError(f"{name}: expected a number of seconds above 0, found {number}")
    return number


def whole(value: Any, name: str, allowed: range | None = None) -> int:
    """An integer, within a range if one is given."""
    try:
        number = int(value.__index__())
    except (AttributeError, TypeError):
        raise ArgumentTypeError(f"{name}: expected an integer, found {shown(value)}") from None
    if allowed is not None and number not in allowed:
        raise ArgumentError(f"{name}: expected {allowed[0]}…{allowed[-1]}, found {number}")
    return number
