"""Client of guidanced, the diffusion-guidance daemon.

>>> from guidanced import Client
>>> with Client("ipc:///run/user/1000/guidanced.sock", timeout=30.0) as g:
...     g.rank(["a.png", "b.png"], "a red circle")
"""

from .client import Client, Texts
from .errors import (
    BadImage,
    BadRequest,
    BadTensor,
    Cancelled,
    Closed,
    DaemonWarning,
    DeadlineExceeded,
    Error,
    Internal,
    ItemError,
    ItemFailure,
    MalformedReply,
    Overloaded,
    PromptTooLong,
    ShuttingDown,
    Timeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnknownOp,
    UnsupportedVersion,
)
from .images import Images
from .results import (
    Classification,
    Conditioning,
    ConditioningSegment,
    Gradient,
    Handle,
    ImageConditioning,
    Ranked,
    Ranking,
    ResultArray,
    Tokenization,
)
from .wire import Input, Reply

__version__ = "0.1.0"

__all__ = [
    "BadImage",
    "BadRequest",
    "BadTensor",
    "Cancelled",
    "Classification",
    "Client",
    "Closed",
    "Conditioning",
    "ConditioningSegment",
    "DaemonWarning",
    "DeadlineExceeded",
    "Error",
    "Gradient",
    "Handle",
    "ImageConditioning",
    "Images",
    "Input",
    "Internal",
    "ItemError",
    "ItemFailure",
    "MalformedReply",
    "Overloaded",
    "PromptTooLong",
    "Ranked",
    "Ranking",
    "Reply",
    "ResultArray",
    "ShuttingDown",
    "Texts",
    "Timeout",
    "Tokenization",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnknownModel",
    "UnknownOp",
    "UnsupportedVersion",
]
