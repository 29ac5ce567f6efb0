"""The client that waits for its replies.

Each method turns its arguments into a plan and runs it. Plans (``plans``) and the rules of retries
(``attempts``) do no input or output of their own; ``client_base`` and ``transport`` do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from . import plans
from .arguments import Texts
from .client_base import ClientBase
from .conditioning import Strength, size_params, text_params
from .images import Images
from .results import (
    Classification,
    Conditioning,
    Gradient,
    Handle,
    ImageConditioning,
    Ranking,
    ResultArray,
    Tokenization,
)


class Client(ClientBase):
    """A connection to one guidanced daemon, or to several that serve the same models.

    >>> with Client("ipc:///run/user/1000/guidanced.sock") as g:
    ...     scores = g.score(["cat.png", "dog.png"], ["a cat", "a dog"])

    Args:
        endpoints: a ZeroMQ address (``ipc://…``, ``tcp://…``), or several: calls are spread over
            them in turn, and a call whose daemon is away, silent or overloaded goes on to the next.
        control: the daemon's control endpoint, which answers ``health`` and ``status`` also while
            work is queueing. Without it they go the way of all calls.
        timeout: seconds that one request may take with all its retries; ``None`` or infinity for no
            limit. The daemon is told, so that it drops work that nobody waits for. A large call is
            several requests (``deadline`` bounds them together).
        connect_timeout: seconds without any daemon being reachable after which a call gives up.
        retries: how often a request is repeated, under the same id, after silence (the timeout is
            shared out evenly), a lost connection, or ``overloaded`` and ``shutting_down`` replies
            (after the wait that the daemon asks for). Repeating is safe: operations are pure, and a
            daemon that is still working on a request joins its repetition to it.
        model: the default for every call's ``model``; ``None`` is the daemon's own default.
        precision: "f32", "bf16" or "int8", for every call that computes; the model must be loaded in
            it (``models()`` says in which it is). ``None`` is the model's own first one. "int8" is
            for embeddings and scores.

    Every method may raise ``Error``: ``ArgumentError`` for what no daemon would take, ``Unavailable``
    when no daemon was reached, ``Timeout`` when one was but no reply came, and otherwise the class for
    the daemon's code (``BadRequest``, ``UnknownModel``, …). When only some images or texts fail, here
    or there, methods with ``strict=True`` raise ``ItemError`` (with the failures and the partial
    result); with ``strict=False`` they return the result, with NaN in the failed rows and the failures
    in ``.items``.

    Every method takes ``priority`` (−100…100: waiting requests with a higher one are served first) and
    ``deadline`` (seconds for the whole call). Calls with more images or texts than the daemon takes at
    once are cut into several requests; files are read as their turn comes.

    Threads may share a client: each running call has a socket of its own, and idle sockets are kept
    for the next. After ``os.fork()`` the child opens its own connections by itself; the parent's
    are left alone. A pickled copy opens its own, too. ``close()`` (or leaving the ``with`` block)
    closes everything; calls running in other threads then raise ``Closed``.
    """

    # Texts --------------------------------------------------------------------------------------

    def tokenize(
        self,
        texts: Texts,
        *,
        model: str | None = None,
        long_prompts: str = "error",
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Tokenization:
        """The token ids of texts.

        Args:
            long_prompts: ``"error"`` fails a text with more tokens than the model's context,
                ``"truncate"`` cuts it and reports what was dropped.
        """
        plan = plans.tokenize(
            self._session, texts, model=model, long_prompts=long_prompts, strict=strict
        )
        return self._run(plan, priority, deadline)

    def embed_text(
        self,
        texts: Texts,
        *,
        model: str | None = None,
        normalize: bool = True,
        long_prompts: str = "error",
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> ResultArray:
        """Text embeddings, float32 [N, D]; unit vectors unless ``normalize=False``."""
        plan = plans.embed_text(
            self._session,
            texts,
            model=model,
            normalize=normalize,
            long_prompts=long_prompts,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

    # Images -------------------------------------------------------------------------------------

    def embed_image(
        self,
        images: Images,
        *,
        model: str | None = None,
        normalize: bool = True,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> ResultArray:
        """Image embeddings, float32 [N, D]; unit vectors unless ``normalize=False``."""
        plan = plans.embed_image(
            self._session, images, normalize=normalize, model=model, strict=strict
        )
        return self._run(plan, priority, deadline)

    def score(
        self,
        images: Images,
        prompts: Union[Texts, Handle],
        *,
        metric: str = "cosine",
        pairwise: bool = False,
        long_prompts: str | None = None,
        model: str | None = None,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> ResultArray:
        """Scores of N images against P prompts, float32 [N, P].

        Args:
            prompts: one or several, or a handle of ``prepare`` for the same metric.
            metric: ``"cosine"`` (−1…1), ``"logit"`` (exp(logit_scale)·cosine) or ``"clipscore"``
                (2.5·max(cosine, 0), with its prefix "A photo depicts ").
            pairwise: image i against prompt i alone, N = P; the result is [N].
            long_prompts: ``"error"`` (the daemon's default) or ``"truncate"``.
        """
        plan = plans.score(
            self._session,
            images,
            prompts,
            metric=metric,
            pairwise=pairwise,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

    def rank(
        self,
        images: Images,
        prompt: Union[str, Handle],
        *,
        top_k: int | None = None,
        metric: str = "cosine",
        long_prompts: str | None = None,
        model: str | None = None,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Ranking:
        """The images in the order of their scores for a prompt, best first, ties by index.

        Args:
            prompt: one, or a handle to one.
            top_k: how many to return, all by default.
        """
        plan = plans.rank(
            self._session,
            images,
            prompt,
            top_k=top_k,
            metric=metric,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

    def classify(
        self,
        images: Images,
        labels: Texts,
        *,
        templates: Union[Texts, None] = None,
        long_prompts: str | None = None,
        model: str | None = None,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Classification:
        """The probabilities [N, L] of labels for images.

        Args:
            templates: sentences with one ``{}`` for the label, whose embeddings are averaged; the
                daemon's default is "a photo of a {}.".
        """
        plan = plans.classify(
            self._session,
            images,
            labels,
            templates=templates,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

    # Conditioning -------------------------------------------------------------------------------

    def condition(
        self,
        prompts: Union[Texts, Handle],
        recipe: str | None = None,
        negative: Union[Texts, None] = None,
        *,
        clip_skip: Union[int, Mapping[str, int], None] = None,
        negative_clip_skip: Union[int, Mapping[str, int], None] = None,
        syntax: str | None = None,
        emphasis: str | None = None,
        long_prompts: str | None = None,
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
        loras: Union[Mapping[str, Strength], None] = None,
        strict_loras: bool | None = None,
        datatype: str | None = None,
        model: str | None = None,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Conditioning:
        """The vectors that a sampler is conditioned on: what its own text encoders would give.

        Args:
            prompts: one or several, or a handle of ``prepare`` with a recipe, which stands for every
                other argument but sizes, scores and datatype.
            recipe: ``"sd1"``, ``"sd2"``, ``"sdxl"``, ``"sdxl-refiner"``, ``"sd3-clip"`` or
                ``"flux-clip"``; without it the model's own first one.
            negative: one for all prompts, or one a prompt; without them ``negative_policy`` decides.
            clip_skip: layers to leave out, with diffusers' meaning; of each encoder by its role
                (``{"clip_l": 1, "clip_g": 2}``), if not of all.
            negative_clip_skip: the negative prompts' own; as ``clip_skip`` unless given.
            syntax: the prompts' language: ``"plain"`` (default), ``"a1111"``, ``"comfy"``,
                ``"compel"``.
            emphasis: what becomes of the prompts' weights: ``"original"`` (default, the language's own
                way), ``"no_norm"``, ``"ignore"`` or ``"none"``.
            long_prompts: ``"error"`` (default), ``"truncate"`` or ``"chunk"``.
            negative_policy: ``"zeros"`` or ``"empty"`` for absent negative prompts.
            prompts_2, negative_2: what the recipe's second encoder reads instead.
            steps: the sampler's, for scheduled prompts.
            width, height, crop, original_size: for ``time_ids``, in pixels; crop is (top, left), the
                original size (width, height).
            hidden_width: to which hidden states are filled up with zeros (``sd3-clip``: 4096).
            loras: strengths by the names under which the daemon loaded them; a strength may be
                given for each encoder by its role (1 for those that are left out).
            strict_loras: an error, not a warning, for a LoRA that prompts name in vain.
            datatype: of the vectors on their way, ``"FP32"`` (default), ``"FP16"`` or ``"BF16"``; the
                arrays are float32.
        """
        arguments = {name: value for name, value in locals().items() if name != "self"}
        plan = plans.condition(
            self._session, prompts, text_params(arguments), size_params(arguments), model
        )
        return self._run(plan, priority, deadline)

    def condition_image(
        self,
        images: Union[Images, None],
        recipe: str | None = None,
        *,
        mix: bool = False,
        weights: Union[Sequence[float], None] = None,
        prompts: Union[Texts, None] = None,
        long_prompts: str | None = None,
        model: str | None = None,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> ImageConditioning:
        """What image-conditioned samplers take.

        Args:
            images: N of them; ``None`` for a mix of texts alone.
            recipe: ``"unclip"`` (default), ``"ip-adapter"`` or ``"ip-adapter-plus"``.
            mix: one row of all images, and of ``prompts``, times ``weights`` (their mean without).
        """
        plan = plans.condition_image(
            self._session,
            images,
            recipe=recipe,
            mix=mix,
            weights=weights,
            prompts=prompts,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

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
        long_prompts: str | None = None,
        model: str | None = None,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
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
                ArgumentError.
        """
        plan = plans.gradient(
            self._session,
            images,
            prompts,
            weights=weights,
            loss=loss,
            pairwise=pairwise,
            cutouts=cutouts,
            regularizers=regularizers,
            seed=seed,
            wrt=wrt,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return self._run(plan, priority, deadline)

    def prepare(
        self,
        prompts: Texts,
        *,
        weights: Union[Sequence[float], None] = None,
        metric: str = "cosine",
        recipe: str | None = None,
        long_prompts: str | None = None,
        model: str | None = None,
        priority: int = 0,
        deadline: float | None = None,
        **conditioning: Any,
    ) -> Handle:
        """Has the daemon encode prompts once, for many calls of ``gradient``, ``score`` or ``rank``,
        or with a recipe for ``condition``.

        With several endpoints the handle is prepared on each daemon when it is first used there.

        Args:
            recipe, conditioning: as ``condition`` takes them (negative, clip_skip, syntax,
                negative_policy, prompts_2, negative_2, steps, hidden_width, loras, …).
            weights: what ``gradient`` weighs the prompts with.
            metric: what ``score`` or ``rank`` will use; ``"clipscore"`` encodes other texts.
        """
        plan = plans.prepare(
            self._session,
            prompts,
            weights=weights,
            metric=metric,
            recipe=recipe,
            long_prompts=long_prompts,
            model=model,
            conditioning=conditioning,
        )
        return self._run(plan, priority, deadline)

    def release(
        self, handle: Handle, *, priority: int = 0, deadline: float | None = None
    ) -> None:
        """Lets the daemons forget a handle. A handle that is gone already is no error."""
        return self._run(plans.release(self._session, handle), priority, deadline)
