"""Client of guidanced, the diffusion-guidance daemon.

>>> from guidanced import Client
>>> with Client("ipc:///run/user/1000/guidanced.sock", timeout=30.0) as g:
...     g.rank(["a.png", "b.png"], "a red circle")
"""

from .arguments import Texts
from .async_client import AsyncClient
from .client import Client
from .errors import (
    ArgumentError,
    ArgumentTypeError,
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
    RequestTooLarge,
    ShuttingDown,
    Timeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnknownOp,
    UnreadableFile,
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
    "ArgumentError",
    "ArgumentTypeError",
    "AsyncClient",
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
    "RequestTooLarge",
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
    "UnreadableFile",
    "UnsupportedVersion",
]
