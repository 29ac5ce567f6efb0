"""The synchronous client."""

from __future__ import annotations

import secrets
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from .conditioning import conditioning_of, conditioning_params
from .errors import (
    BadRequest,
    DaemonWarning,
    Error,
    ItemError,
    ItemFailure,
    MalformedReply,
    Overloaded,
    ShuttingDown,
    Timeout,
    Unavailable,
)
from .images import Collected, Images, collect
from .results import (
    Classification,
    Conditioning,
    FloatArray,
    Gradient,
    Handle,
    ImageConditioning,
    Ranked,
    Ranking,
    ResultArray,
    Tokenization,
)
from .transport import Transport
from .wire import LONGEST_DEADLINE_MS, Input, Reply, encode_request

Result = TypeVar("Result")

Texts = Union[str, Sequence[str]]
"""One text, or several."""


class Client:
    """A connection to one guidanced daemon, or to several that serve the same models.

    >>> with Client("ipc:///run/user/1000/guidanced.sock") as g:
    ...     scores = g.score(["cat.png", "dog.png"], ["a cat", "a dog"])

    Args:
        endpoints: a ZeroMQ address (``ipc://…``, ``tcp://…``), or several: calls are spread over
            them in turn, and a call whose daemon is away, silent or overloaded goes on to the next.
        control: the daemon's control endpoint, which answers ``health`` and ``status`` also while
            work is queueing. Without it they go the way of all calls.
        timeout: seconds that one call may take with all its retries. The daemon is told, so that it
            drops work that nobody waits for.
        connect_timeout: seconds without any daemon being reachable after which a call gives up.
        retries: how often a request is repeated, under the same id, after silence (the timeout is
            shared out evenly), a lost connection, or ``overloaded`` and ``shutting_down`` replies
            (after the wait that the daemon asks for). Repeating is safe: operations are pure, and a
            daemon that is still working on a request joins its repetition to it.
        model: the default for every call's ``model``; ``None`` is the daemon's own default.
        precision: "f32", "bf16" or "int8", for every call that computes; the model must be loaded in
            it (``models()`` says in which it is). ``None`` is the model's own first one. "int8" is
            for embeddings and scores.

    Every method may raise ``Error``: ``Unavailable`` when no daemon was reached, ``Timeout`` when
    one was but no reply came, and otherwise the class for the daemon's code (``BadRequest``,
    ``UnknownModel``, …). When only some images or texts fail, methods with ``strict=True`` raise
    ``ItemError`` (with the failures and the partial result); with ``strict=False`` they return the
    result, with NaN in the failed rows and the failures in ``.items``.

    Threads may share a client: each running call has a socket of its own, and idle sockets are kept
    for the next. After ``os.fork()`` the child opens its own connections by itself; the parent's
    are left alone. ``close()`` (or leaving the ``with`` block) closes everything; calls running in
    other threads then raise ``Closed``.
    """

    def __init__(
        self,
        endpoints: Union[str, Sequence[str]],
        *,
        control: Union[str, Sequence[str], None] = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        retries: int = 2,
        model: str | None = None,
        precision: str | None = None,
    ) -> None:
        addresses = _strings(endpoints, "endpoints")
        if timeout <= 0 or connect_timeout <= 0:
            raise ValueError("timeout and connect_timeout: expected a number of seconds above 0")
        if retries < 0:
            raise ValueError(f"retries: expected 0 or more, found {retries}")
        self._model = model
        self._precision = precision
        self._transport = Transport(addresses, timeout, connect_timeout, retries)
        self._control = (
            Transport(_strings(control, "control"), timeout, connect_timeout, retries)
            if control is not None
            else self._transport
        )
        # Where a handle was prepared: {client's handle id: {address: daemon's handle}}.
        self._prepared: dict[str, dict[str, str]] = {}
        self._prepared_lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections. A second call does nothing."""
        self._transport.close()
        self._control.close()

    # The daemon ---------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """The daemon's versions, limits, models and extensions."""
        return self.request("hello").result

    def ping(self) -> float:
        """Seconds from an empty request to its reply."""
        start = time.perf_counter()
        self.request("ping")
        return time.perf_counter() - start

    def models(self) -> list[dict[str, Any]]:
        """What is known of each loaded model: its name, sizes, fingerprint, …"""
        models = self.request("models").result.get("models")
        if not isinstance(models, list):
            raise MalformedReply("result.models is no list")
        return models

    def health(self) -> dict[str, Any]:
        """Whether the daemon is live and ready, and how long ago its self-check ran."""
        return self.request("health", transport=self._control).result

    def status(self) -> dict[str, Any]:
        """The daemon's counters, queues and limits at this moment."""
        return self.request("status", transport=self._control).result

    # Texts --------------------------------------------------------------------------------------

    def tokenize(
        self,
        texts: Texts,
        *,
        model: str | None = None,
        long_prompts: str = "error",
        strict: bool = True,
    ) -> Tokenization:
        """The token ids of texts.

        Args:
            long_prompts: ``"error"`` fails a text with more tokens than the model's context,
                ``"truncate"`` cuts it and reports what was dropped.
        """
        params = {"texts": list(_strings(texts, "texts")), "long_prompts": long_prompts}
        reply = self.request("tokenize", params, model=model)
        tokens = reply.result.get("tokens")
        if not isinstance(tokens, list) or len(tokens) != len(params["texts"]):
            raise MalformedReply(f"result.tokens is no list of {len(params['texts'])} entries")
        dropped = reply.result.get("dropped")
        result = Tokenization(
            [list(entry) if isinstance(entry, list) else [] for entry in tokens],
            dropped if isinstance(dropped, list) else (),
            reply.items,
        )
        return _checked(result, reply.items, strict)

    def embed_text(
        self,
        texts: Texts,
        *,
        model: str | None = None,
        normalize: bool = True,
        long_prompts: str = "error",
        strict: bool = True,
    ) -> ResultArray:
        """Text embeddings, float32 [N, D]; unit vectors unless ``normalize=False``."""
        listed = list(_strings(texts, "texts"))
        params = {"texts": listed, "normalize": normalize, "long_prompts": long_prompts}
        reply = self.request("embed_text", params, model=model)
        return _array(reply, "embeddings", (len(listed), None), strict)

    # Images -------------------------------------------------------------------------------------

    def embed_image(
        self,
        images: Images,
        *,
        model: str | None = None,
        normalize: bool = True,
        strict: bool = True,
    ) -> ResultArray:
        """Image embeddings, float32 [N, D]; unit vectors unless ``normalize=False``."""
        collected = collect(images)
        reply = self.request(
            "embed_image", {"normalize": normalize}, collected.inputs(), model=model
        )
        return _array(reply, "embeddings", (collected.count, None), strict)

    def score(
        self,
        images: Images,
        prompts: Union[Texts, Handle],
        *,
        metric: str = "cosine",
        pairwise: bool = False,
        model: str | None = None,
        strict: bool = True,
    ) -> ResultArray:
        """Scores of N images against P prompts, float32 [N, P].

        Args:
            prompts: one or several, or a handle of ``prepare`` for the same metric.
            metric: ``"cosine"`` (−1…1), ``"logit"`` (exp(logit_scale)·cosine) or ``"clipscore"``
                (2.5·max(cosine, 0), with its prefix "A photo depicts ").
            pairwise: image i against prompt i alone, N = P; the result is [N].
        """
        collected = collect(images)
        params = {"metric": metric, "pairwise": pairwise}
        columns = _prompt_count(prompts, collected.count, pairwise)
        reply = self._with_prompts("score", "prompts", params, collected.inputs(), prompts, model)
        shape = (collected.count,) if pairwise else (collected.count, columns)
        return _array(reply, "scores", shape, strict)

    def rank(
        self,
        images: Images,
        prompt: Union[str, Handle],
        *,
        top_k: int | None = None,
        metric: str = "cosine",
        model: str | None = None,
        strict: bool = True,
    ) -> Ranking:
        """The images in the order of their scores for a prompt, best first, ties by index.

        Args:
            prompt: one, or a handle to one.
            top_k: how many to return, all by default.
        """
        collected = collect(images)
        params: dict[str, Any] = {"metric": metric}
        if top_k is not None:
            params["top_k"] = top_k
        reply = self._with_prompts("rank", "prompt", params, collected.inputs(), prompt, model)
        ranking = reply.result.get("ranking")
        if not isinstance(ranking, list):
            raise MalformedReply("result.ranking is no list")
        return _checked(
            Ranking((_ranked(entry, collected.count) for entry in ranking), reply.items),
            reply.items,
            strict,
        )

    def classify(
        self,
        images: Images,
        labels: Sequence[str],
        *,
        templates: Union[Sequence[str], None] = None,
        model: str | None = None,
        strict: bool = True,
    ) -> Classification:
        """The probabilities [N, L] of labels for images.

        Args:
            templates: sentences with one ``{}`` for the label, whose embeddings are averaged; the
                daemon's default is "a photo of a {}.".
        """
        collected = collect(images)
        listed = _strings(labels, "labels")
        params: dict[str, Any] = {"labels": list(listed)}
        if templates is not None:
            params["templates"] = list(_strings(templates, "templates"))
        reply = self.request("classify", params, collected.inputs(), model=model)
        values = _output(reply, "probabilities", (collected.count, len(listed)))
        result = Classification(values, tuple(listed), reply.items)
        return _checked(result, reply.items, strict)

    # Conditioning -------------------------------------------------------------------------------

    def condition(
        self,
        prompts: Union[Texts, Handle],
        recipe: str = "sd1",
        negative: Union[Texts, None] = None,
        *,
        clip_skip: int | None = None,
        syntax: str = "plain",
        long_prompts: str = "error",
        negative_policy: str | None = None,
        prompts_2: Union[Texts, None] = None,
        negative_2: Union[Texts, None] = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        crop: tuple[int, int] | None = None,
        original_size: tuple[int, int] | None = None,
        aesthetic_score: float | None = None,
        negative_aesthetic_score: float | None = None,
        hidden_width: int | None = None,
        loras: Union[Mapping[str, float], None] = None,
        datatype: str = "FP32",
        model: str | None = None,
    ) -> Conditioning:
        """The vectors that a sampler is conditioned on: what its own text encoders would give.

        Args:
            prompts: one or several, or a handle of ``prepare`` with a recipe, which stands for every
                other argument but sizes, scores and datatype.
            recipe: ``"sd1"``, ``"sd2"``, ``"sdxl"``, ``"sdxl-refiner"``, ``"sd3-clip"`` or
                ``"flux-clip"``.
            negative: one for all prompts, or one a prompt; without them ``negative_policy`` decides.
            clip_skip: layers to leave out, with diffusers' meaning; the negative prompts' too.
            syntax: the prompts' language: ``"plain"``, ``"a1111"``, ``"comfy"`` or ``"compel"``.
            long_prompts: ``"error"``, ``"truncate"`` or ``"chunk"``.
            negative_policy: ``"zeros"`` or ``"empty"`` for absent negative prompts.
            prompts_2, negative_2: what the recipe's second encoder reads instead.
            steps: the sampler's, for scheduled prompts.
            width, height, crop, original_size: for ``time_ids``, in pixels; crop is (top, left), the
                original size (width, height).
            hidden_width: to which hidden states are filled up with zeros (``sd3-clip``: 4096).
            loras: strengths by the names under which the daemon loaded them.
        """
        sizes: dict[str, Any] = {
            "width": width,
            "height": height,
            "crop_top": None if crop is None else crop[0],
            "crop_left": None if crop is None else crop[1],
            "original_width": None if original_size is None else original_size[0],
            "original_height": None if original_size is None else original_size[1],
            "aesthetic_score": aesthetic_score,
            "negative_aesthetic_score": negative_aesthetic_score,
            "datatype": datatype,
        }
        sizes = {key: value for key, value in sizes.items() if value is not None}
        if isinstance(prompts, Handle):
            if prompts.conditioning is None:
                raise ValueError("the handle was prepared without a recipe")
            chosen = prompts.model if model is None else model
            return conditioning_of(self._with_handle("condition", sizes, (), prompts, chosen))
        params = conditioning_params(
            _strings(prompts, "prompts"),
            recipe,
            negative=None if negative is None else _strings(negative, "negative"),
            clip_skip=clip_skip,
            syntax=syntax,
            long_prompts=long_prompts,
            negative_policy=negative_policy,
            prompts_2=None if prompts_2 is None else _strings(prompts_2, "prompts_2"),
            negative_2=None if negative_2 is None else _strings(negative_2, "negative_2"),
            steps=steps,
            hidden_width=hidden_width,
            loras=loras,
        )
        return conditioning_of(self.request("condition", {**params, **sizes}, model=model))

    def condition_image(
        self,
        images: Union[Images, None],
        recipe: str = "unclip",
        *,
        mix: bool = False,
        weights: Union[Sequence[float], None] = None,
        prompts: Union[Texts, None] = None,
        model: str | None = None,
        strict: bool = True,
    ) -> ImageConditioning:
        """What image-conditioned samplers take.

        Args:
            images: N of them; ``None`` for a mix of texts alone.
            recipe: ``"unclip"``, ``"ip-adapter"`` or ``"ip-adapter-plus"``.
            mix: one row of all images, and of ``prompts``, times ``weights`` (their mean without).
        """
        collected = None if images is None else collect(images)
        params: dict[str, Any] = {"recipe": recipe, "mix": mix}
        if weights is not None:
            params["weights"] = [float(weight) for weight in weights]
        if prompts is not None:
            params["prompts"] = list(_strings(prompts, "prompts"))
        inputs = () if collected is None else collected.inputs()
        reply = self.request("condition_image", params, inputs, model=model)
        parts = {
            name: None if name not in reply.outputs else np.asarray(reply.outputs[name], np.float32)
            for name in (
                "image_embeddings",
                "negative_image_embeddings",
                "hidden_states",
                "negative_hidden_states",
            )
        }
        result = ImageConditioning(**parts, items=reply.items, fingerprint=reply.fingerprint)
        return _checked(result, reply.items, strict)

    # Guidance -----------------------------------------------------------------------------------

    def gradient(
        self,
        images: Images,
        prompts: Union[Texts, Handle],
        *,
        weights: Union[Sequence[float], None] = None,
        loss: str = "cosine",
        pairwise: bool = False,
        cutouts: None = None,
        regularizers: None = None,
        seed: int = 0,
        wrt: str = "pixels",
        model: str | None = None,
        strict: bool = True,
    ) -> Gradient:
        """The gradient of a loss between images and prompts with respect to the pixels.

        The loss of image i is Σₚ wₚ·loss(image i, prompt p) / |Σ w|. Its gradient is taken at the
        image's own height and width, with respect to pixel values in 0–1. It is the gradient of a
        *loss*: an optimiser descends it.

        Args:
            prompts: one or several, or a handle of ``prepare``.
            weights: one a prompt; by default the handle's, else all 1. Negative ones steer away.
                |Σ w| ≥ 0.001.
            loss: ``"cosine"`` (1 − cos), ``"spherical"`` (half the squared angle) or ``"logit"``
                (−exp(logit_scale)·cos).
            pairwise: image i has prompt i alone.
            cutouts, regularizers, seed, wrt: only their defaults are served; other values raise
                ValueError.
        """
        if cutouts is not None or regularizers is not None or wrt != "pixels":
            raise ValueError(
                "cutouts, regularizers and wrt: this version of the daemon serves plain gradients "
                "with respect to pixels only"
            )
        collected = collect(images)
        _prompt_count(prompts, collected.count, pairwise)
        params: dict[str, Any] = {"loss": loss, "pairwise": pairwise}
        if weights is not None:
            params["weights"] = [float(weight) for weight in weights]
        reply = self._with_prompts(
            "gradient", "prompts", params, collected.inputs(), prompts, model
        )
        result = Gradient(
            _gradients(reply, collected),
            _output(reply, "loss", (collected.count,)),
            _output(reply, "score", (collected.count,)),
            reply.items,
            reply.fingerprint,
        )
        return _checked(result, reply.items, strict)

    def prepare(
        self,
        prompts: Texts,
        *,
        weights: Union[Sequence[float], None] = None,
        metric: str = "cosine",
        recipe: str | None = None,
        model: str | None = None,
        **conditioning: Any,
    ) -> Handle:
        """Has the daemon encode prompts once, for many calls of ``gradient``, ``score`` or ``rank``,
        or with a recipe for ``condition``.

        With several endpoints the handle is prepared on each daemon when it is first used there.

        Args:
            recipe, conditioning: as ``condition`` takes them (negative, clip_skip, syntax,
                long_prompts, negative_policy, prompts_2, negative_2, steps, hidden_width, loras).
            weights: what ``gradient`` weighs the prompts with.
            metric: what ``score`` or ``rank`` will use; ``"clipscore"`` encodes other texts.
        """
        listed = _strings(prompts, "prompts")
        handle = Handle(
            secrets.token_hex(8),
            tuple(listed),
            None if weights is None else tuple(float(weight) for weight in weights),
            metric,
            self._model if model is None else model,
            None if recipe is None else conditioning_params(tuple(listed), recipe, **conditioning),
        )
        if recipe is None and conditioning:
            raise TypeError(f"{sorted(conditioning)[0]}: needs a recipe")
        reply, address = self._request("prepare", _prepare_params(handle), model=handle.model)
        with self._prepared_lock:
            self._prepared[handle.id] = {address: _handle_of(reply)}
        handle.result.update(reply.result)
        return handle

    def release(self, handle: Handle) -> None:
        """Lets the daemons forget a handle. A handle that is gone already is no error."""
        with self._prepared_lock:
            places = self._prepared.pop(handle.id, {})
        for address, identifier in places.items():
            try:
                self._request("release", {"handle": identifier}, address=address)
            except BadRequest as problem:
                if not _is_about_handle(problem):
                    raise

    def _with_prompts(
        self,
        op: str,
        field: str,
        params: dict[str, Any],
        inputs: Sequence[Input],
        prompts: Union[Texts, Handle],
        model: str | None,
    ) -> Reply:
        """A request whose prompts are texts or a handle."""
        if isinstance(prompts, Handle):
            chosen = prompts.model if model is None else model
            return self._with_handle(op, params, inputs, prompts, chosen)
        listed = list(_strings(prompts, field))
        params[field] = listed[0] if field == "prompt" else listed
        return self.request(op, params, inputs, model=model)

    def _with_handle(
        self,
        op: str,
        params: Mapping[str, Any],
        inputs: Sequence[Input],
        handle: Handle,
        model: str | None,
    ) -> Reply:
        """A request with a prepared handle, at an endpoint that has it or can prepare it."""
        with self._prepared_lock:
            if handle.id not in self._prepared:
                raise ValueError("the handle was released, or belongs to another client")
        addresses = self._transport.in_turn()
        for place, address in enumerate(addresses):
            try:
                return self._with_handle_at(address, op, params, inputs, handle, model)
            except (Unavailable, Timeout, Overloaded, ShuttingDown):
                if place == len(addresses) - 1:
                    raise
        raise AssertionError("unreachable: the last address returns or raises")

    def _with_handle_at(
        self,
        address: str,
        op: str,
        params: Mapping[str, Any],
        inputs: Sequence[Input],
        handle: Handle,
        model: str | None,
    ) -> Reply:
        full = {**params, "handle": self._prepared_at(handle, address, anew=False)}
        try:
            return self._request(op, full, inputs, model=model, address=address)[0]
        except BadRequest as problem:
            if not _is_about_handle(problem):
                raise
        # The daemon was started anew, or dropped the handle: once more with a fresh one.
        full["handle"] = self._prepared_at(handle, address, anew=True)
        return self._request(op, full, inputs, model=model, address=address)[0]

    def _prepared_at(self, handle: Handle, address: str, anew: bool) -> str:
        with self._prepared_lock:
            known = self._prepared.get(handle.id, {}).get(address)
        if known is not None and not anew:
            return known
        reply, _ = self._request(
            "prepare", _prepare_params(handle), model=handle.model, address=address
        )
        identifier = _handle_of(reply)
        with self._prepared_lock:
            self._prepared.setdefault(handle.id, {})[address] = identifier
        return identifier

    # Any operation ------------------------------------------------------------------------------

    def request(
        self,
        op: str,
        params: Mapping[str, Any] | None = None,
        inputs: Sequence[Input] = (),
        *,
        model: str | None = None,
        timeout: float | None = None,
        on_partial: Callable[[Reply], None] | None = None,
        transport: Transport | None = None,
    ) -> Reply:
        """Any operation of the protocol, with its checked reply; what the other methods are made of.

        Args:
            timeout: seconds for this call, instead of the client's.
            on_partial: called with each partial reply, in order, before the final one is returned.
        """
        return self._request(
            op,
            params or {},
            inputs,
            model=model,
            timeout=timeout,
            on_partial=on_partial,
            transport=transport,
        )[0]

    def _request(
        self,
        op: str,
        params: Mapping[str, Any],
        inputs: Sequence[Input] = (),
        *,
        model: str | None = None,
        timeout: float | None = None,
        address: str | None = None,
        on_partial: Callable[[Reply], None] | None = None,
        transport: Transport | None = None,
    ) -> tuple[Reply, str]:
        identifier = secrets.token_hex(8)
        chosen = self._model if model is None else model
        if self._precision is not None and op not in _WITHOUT_PRECISION:
            params = {"precision": self._precision, **params}
        reply, place = (transport or self._transport).call(
            identifier,
            lambda left: encode_request(
                identifier,
                op,
                params,
                inputs,
                model=chosen,
                deadline_ms=min(max(1, int(left * 1000)), LONGEST_DEADLINE_MS),
            ),
            timeout=timeout,
            address=address,
            on_partial=on_partial,
        )
        if reply.error is not None:
            raise reply.error
        for text in reply.warnings:
            warnings.warn(text, DaemonWarning, stacklevel=4)
        return reply, place


#: Operations that compute nothing.
_WITHOUT_PRECISION = frozenset(
    ["hello", "ping", "models", "health", "status", "release", "load", "unload", "cancel", "drain"]
)


def _prompt_count(prompts: Union[Texts, Handle], images: int, pairwise: bool) -> int:
    """How many prompts there are; ValueError when they cannot be paired with the images."""
    listed = prompts.prompts if isinstance(prompts, Handle) else _strings(prompts, "prompts")
    if pairwise and len(listed) != images:
        raise ValueError(
            f"pairwise: expected one prompt an image, found {images} images and "
            f"{len(listed)} prompts"
        )
    return len(listed)


def _strings(value: object, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence) or not all(isinstance(entry, str) for entry in value):
        raise TypeError(f"{name}: expected a string or a sequence of strings, found {value!r:.80}")
    if not value:
        raise ValueError(f"{name}: expected at least one, found none")
    return tuple(value)


def _prepare_params(handle: Handle) -> dict[str, Any]:
    if handle.conditioning is not None:
        return dict(handle.conditioning)
    params: dict[str, Any] = {"prompts": list(handle.prompts), "metric": handle.metric}
    if handle.weights is not None:
        params["weights"] = list(handle.weights)
    return params


def _handle_of(reply: Reply) -> str:
    identifier = reply.result.get("handle")
    if not isinstance(identifier, str):
        raise MalformedReply("result.handle is no string")
    return identifier


def _is_about_handle(problem: Error) -> bool:
    return problem.field is not None and problem.field.split(".")[-1] == "handle"


def _checked(result: Result, items: Sequence[ItemFailure], strict: bool) -> Result:
    if strict and items:
        raise ItemError(items, result)
    return result


def _output(reply: Reply, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """An output as float32, its shape checked; ``None`` in ``shape`` stands for any size."""
    array = reply.outputs.get(name)
    if array is None:
        raise MalformedReply(f"{reply.op}: no output {name!r}, only {sorted(reply.outputs)}")
    if array.ndim != len(shape) or any(
        expected not in (None, found) for expected, found in zip(shape, array.shape)
    ):
        wanted = [side if side is not None else "any" for side in shape]
        raise MalformedReply(f"output {name!r}: expected {wanted}, found {list(array.shape)}")
    return np.asarray(array, dtype=np.float32)


def _array(reply: Reply, name: str, shape: tuple[int | None, ...], strict: bool) -> ResultArray:
    result = ResultArray(_output(reply, name, shape), reply.items, reply.fingerprint)
    return _checked(result, reply.items, strict)


def _ranked(entry: object, count: int) -> Ranked:
    if isinstance(entry, dict):
        index, score = entry.get("index"), entry.get("score")
        if isinstance(index, int) and isinstance(score, (int, float)) and 0 <= index < count:
            return Ranked(index, float(score))
    raise MalformedReply(f"result.ranking holds {entry!r:.80}")


def _gradients(reply: Reply, collected: Collected) -> Union[FloatArray, list[FloatArray]]:
    """The reply's gradients in the shape of the caller's images."""
    rows = _gradient_rows(reply, collected.count)
    shaped: list[FloatArray] = []
    start = 0
    for piece in collected.pieces:
        part = rows[start : start + piece.count]
        start += piece.count
        shaped.append(_gradient_of(part, piece.gradient_shape, piece.batched))
    return shaped[0] if collected.single else shaped


def _gradient_rows(reply: Reply, count: int) -> list[FloatArray | None]:
    """One [3, H, W] an item; ``None`` where the reply has none."""
    together: NDArray[Any] | None = reply.outputs.get("gradient")
    if together is not None:
        if together.ndim != 4 or together.shape[:2] != (count, 3):
            raise MalformedReply(
                f"output 'gradient': expected [{count}, 3, H, W], found {list(together.shape)}"
            )
        return list(np.asarray(together, dtype=np.float32))
    rows: list[FloatArray | None] = []
    for index in range(count):
        row = reply.outputs.get(f"gradient.{index}")
        if row is not None and (row.ndim != 3 or row.shape[0] != 3):
            raise MalformedReply(
                f"output 'gradient.{index}': expected [3, H, W], found {list(row.shape)}"
            )
        rows.append(None if row is None else np.asarray(row, dtype=np.float32))
    failed = {failure.index for failure in reply.items}
    missing = [i for i, row in enumerate(rows) if row is None and i not in failed]
    if missing:
        raise MalformedReply(f"no output 'gradient' nor 'gradient.{missing[0]}'")
    return rows


def _gradient_of(
    rows: Sequence[FloatArray | None], shape: tuple[int, ...] | None, batched: bool
) -> FloatArray:
    if shape is None:  # a file: the daemon knows its size, unless it could not be decoded
        return rows[0] if rows[0] is not None else np.zeros((3, 0, 0), dtype=np.float32)
    single = shape[-3:]
    filled = [
        row if row is not None and row.shape == single else _unless(row, single) for row in rows
    ]
    return np.stack(filled) if batched else filled[0]


def _unless(row: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """NaN for an item that failed; a gradient of another size than its image is a fault."""
    if row is not None and not np.isnan(row).all():
        raise MalformedReply(f"a gradient: expected {list(shape)}, found {list(row.shape)}")
    return np.full(shape, np.nan, dtype=np.float32)
