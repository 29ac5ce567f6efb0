"""What each operation asks of the daemon and makes of its replies, without any socket.

A plan is a generator: it yields requests (``Ask``), is resumed with their replies (``Answer``) or with
the error that a request ended in, and returns the call's result. ``Client`` and ``AsyncClient`` run the
same plans.
"""

from .asking import Answer, Ask, Plan, Session, asking
from .conditioning import condition, condition_image
from .guidance import gradient
from .handles import prepare, release
from .pictures import classify, embed_image, rank, score
from .texts import embed_text, tokenize

__all__ = [
    "Answer",
    "Ask",
    "Plan",
    "Session",
    "asking",
    "classify",
    "condition",
    "condition_image",
    "embed_image",
    "embed_text",
    "gradient",
    "prepare",
    "rank",
    "release",
    "score",
    "tokenize",
]
