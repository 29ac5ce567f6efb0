"""What a daemon takes in one request, as its ``hello`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FEWEST_IMAGES = 32
"""A call of up to so many images is one request, if the daemon's limits allow it."""

MOST_IMAGES = 256
"""Images in one request, however many threads the daemon has."""

TEXTS = 256
"""Texts in one request."""

REQUEST_BYTES = 64 << 20
"""Bytes of images in one request, unless a single image is larger."""

PIXELS = 16 << 20
"""Decoded pixels in one request, unless a single image has more; their gradients are 192 MiB."""

HEADER_RESERVE = 16 << 10
"""Bytes of a header kept free for what is not texts and images."""

CONDITIONED = 256
"""Prompts in one request of ``condition``; the protocol's page names the number."""


@dataclass(frozen=True)
class Limits:
    """What fits into one request; the numbers are those of a daemon that states no other.

    Attributes:
        header_bytes: of a header, also of a reply's.
        inputs: frames.
        request_bytes: of all frames together, and what may wait for work at all.
        request_pixels: decoded pixels of all images together.
        reply_bytes: of all outputs together.
        images: items.
        texts: prompts, texts, or labels × templates.
        text_bytes: of one text.
        threads: the daemon's, from ``status``; 1 where it does not say.
    """

    header_bytes: int = 1 << 20
    inputs: int = 1024
    request_bytes: int = 256 << 20
    request_pixels: int = 1 << 30
    reply_bytes: int = 1 << 30
    images: int = 4096
    texts: int = 16_384
    text_bytes: int = 1 << 20
    threads: int = 1

    @classmethod
    def of(cls, hello: Mapping[str, Any], status: Mapping[str, Any] | None = None) -> Limits:
        """Reads ``hello``'s and ``status``' results; what they leave out or garble has its default."""
        told = hello.get("limits")
        told = told if isinstance(told, Mapping) else {}

        def limit(*names: str, default: int) -> int:
            known = [told[n] for n in names if isinstance(told.get(n), int) and told[n] > 0]
            return min(known) if known else default

        threads = None if status is None else status.get("threads")
        return cls(
            header_bytes=limit("header_bytes", default=cls.header_bytes),
            inputs=limit("inputs", default=cls.inputs),
            # What is above the bounds of the queue would be refused as overload for ever.
            request_bytes=limit(
                "request_bytes", "in_flight_bytes", "queued_bytes", default=cls.request_bytes
            ),
            request_pixels=limit("request_pixels", "queued_pixels", default=cls.request_pixels),
            reply_bytes=limit("reply_bytes", "queued_reply_bytes", default=cls.reply_bytes),
            images=limit("images", default=cls.images),
            texts=limit("texts", default=cls.texts),
            text_bytes=limit("text_bytes", default=cls.text_bytes),
            threads=threads if isinstance(threads, int) and threads > 0 else cls.threads,
        )

    @property
    def images_at_once(self) -> int:
        """Images in one request of a large call: enough for all the daemon's threads."""
        return min(max(FEWEST_IMAGES, 4 * self.threads), MOST_IMAGES, self.images)

    @property
    def bytes_at_once(self) -> int:
        """Bytes of images in one request of a large call."""
        return min(REQUEST_BYTES, self.request_bytes)

    def pixels_at_once(self, reply_bytes: int) -> int:
        """Decoded pixels in one request, for an operation that answers so many bytes for each."""
        fitting = self.reply_bytes // reply_bytes if reply_bytes else PIXELS
        return min(PIXELS, self.request_pixels, fitting)

    @property
    def texts_at_once(self) -> int:
        """Texts in one request of a large call."""
        return min(TEXTS, self.texts)

    @property
    def header_room(self) -> int:
        """Bytes that texts, or the entries of images, may take up in a header."""
        return max(self.header_bytes - HEADER_RESERVE, self.header_bytes // 2)
