"""Every error that the client raises, one class for each code of the wire protocol.

Where Python has a class of its own for what went wrong (ValueError, TypeError, OSError,
TimeoutError, ConnectionError), the error is one of those too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Error(Exception):
    """Anything that goes wrong between a call and its result.

    Attributes:
        code: the wire protocol's code (``"bad_image"``, …), or the client's own ``"timeout"``,
            ``"unavailable"``, ``"malformed_reply"``, ``"closed"``, ``"unreadable_file"``.
        message: one sentence for a person.
        field: what the daemon says is wrong (``"params.metric"``, ``"inputs[0]"``), if it names it.
        retry_after: seconds after which the daemon suggests another try, if it does.
    """

    code: str = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def __str__(self) -> str:
        place = f" ({self.field})" if self.field else ""
        return f"{self.code}: {self.message}{place}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with the message alone, and lose the rest.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[Error], arguments: tuple[Any, ...], state: dict[str, Any]) -> Error:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


class UnsupportedVersion(Error):
    """The daemon does not speak this client's version of the protocol."""

    code = "unsupported_version"


class BadRequest(Error):
    """A parameter is missing, of the wrong kind, or has an unknown value."""

    code = "bad_request"


class ArgumentError(BadRequest, ValueError):
    """An argument of a call that no daemon would take; nothing was sent."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of the wrong type; nothing was sent."""


class UnknownOp(Error):
    """The daemon has no such operation."""

    code = "unknown_op"


class UnknownModel(Error):
    """The daemon has no model of that name."""

    code = "unknown_model"


class BadTensor(Error):
    """A tensor's declared shape or type does not fit its bytes, or the operation."""

    code = "bad_tensor"


class BadImage(Error):
    """An image cannot be decoded, or holds NaN or infinite values."""

    code = "bad_image"


class UnreadableFile(BadImage, OSError):
    """The file of an image is missing or cannot be read."""

    code = "unreadable_file"


class TooLarge(Error):
    """A request, an image or a text is above one of the daemon's limits."""

    code = "too_large"


class RequestTooLarge(TooLarge, ArgumentError):
    """What was handed in does not fit into a request; nothing was sent."""


class PromptTooLong(Error):
    """A text has more tokens than the model's context, and truncation was not asked for."""

    code = "prompt_too_long"


class Overloaded(Error):
    """The daemon's queue was full at every try."""

    code = "overloaded"


class Cancelled(Error):
    """The request was cancelled before it finished."""

    code = "cancelled"


class ShuttingDown(Error):
    """The daemon is finishing its accepted work and takes no more."""

    code = "shutting_down"


class Unauthorized(Error):
    """The daemon refuses this client, or this operation on this endpoint."""

    code = "unauthorized"


class Internal(Error):
    """A fault of the daemon's own."""

    code = "internal"


class Timeout(Error, TimeoutError):
    """The daemon was reached, but no reply came within the client's timeout."""

    code = "timeout"


class DeadlineExceeded(Timeout):
    """The daemon gave up the request because its deadline had passed."""

    code = "deadline_exceeded"


class Unavailable(Error, ConnectionError):
    """No endpoint accepted a connection, or each lost it at every try."""

    code = "unavailable"


class MalformedReply(Error):
    """What came back breaks the protocol."""

    code = "malformed_reply"


class Closed(Error):
    """The client was closed, maybe by another thread during the call."""

    code = "closed"


@dataclass(frozen=True)
class ItemFailure:
    """One item (image or text) of a request that failed while its companions went through.

    ``index`` counts the caller's items from 0; an array ``[N, …]`` is N items.
    """

    index: int
    error: Error

    def __str__(self) -> str:
        return f"item {self.index}: {self.error}"


class ItemError(Error):
    """Some items of a request failed, and the call was ``strict``.

    Attributes:
        items: the failures, by index.
        partial: the result of the other items, as ``strict=False`` returns it.
    """

    code = "item_failed"

    def __init__(self, items: Sequence[ItemFailure], partial: Any) -> None:
        shown = "; ".join(str(item) for item in items[:3])
        more = f"; and {len(items) - 3} more" if len(items) > 3 else ""
        super().__init__(
            f"{shown}{more}", code=items[0].error.code if items else None
        )
        self.items: tuple[ItemFailure, ...] = tuple(items)
        self.partial = partial


class DaemonWarning(UserWarning):
    """Something that the daemon did with a request that the caller should know about."""


_CLASSES: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        UnsupportedVersion,
        BadRequest,
        UnknownOp,
        UnknownModel,
        BadTensor,
        BadImage,
        TooLarge,
        PromptTooLong,
        Overloaded,
        DeadlineExceeded,
        Cancelled,
        ShuttingDown,
        Unauthorized,
        Internal,
    )
}


def from_wire(error: object) -> Error:
    """The exception for a reply's ``error`` object; a code from a newer daemon gives ``Error``."""
    if not isinstance(error, Mapping):
        return MalformedReply(f"an error must be an object, found {type(error).__name__}")
    code = error.get("code")
    if not isinstance(code, str):
        return MalformedReply("an error without a code")
    message = error.get("message")
    field = error.get("field")
    wait = error.get("retry_after_ms")
    known = isinstance(wait, (int, float)) and not isinstance(wait, bool)
    return _CLASSES.get(code, Error)(
        message if isinstance(message, str) else "",
        code=code,
        field=field if isinstance(field, str) else None,
        retry_after=max(0.0, float(wait) / 1000) if known and wait is not None else None,
    )
