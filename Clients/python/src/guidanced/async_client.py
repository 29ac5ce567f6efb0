"""The client of coroutines: each method as in ``client``, to be awaited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from . import plans
from .arguments import Texts
from .async_client_base import AsyncClientBase
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


class AsyncClient(AsyncClientBase):
    """``Client`` for asyncio: the same methods as coroutines, and ``async with``.

    >>> async with AsyncClient("ipc:///run/user/1000/guidanced.sock") as g:
    ...     first, second = await asyncio.gather(g.embed_text("a cat"), g.embed_image("cat.png"))

    Arguments, results and errors are those of ``Client``. Tasks may share a client: up to 64 calls run
    at once, others wait for their turn within their timeout. When a task is cancelled the daemon is told
    so (``cancel``), and the client stays usable. It serves one event loop at a time; under another one
    (a second ``asyncio.run``) it opens new connections. Files are read, and images encoded, in the loop's
    thread.
    """

    # Texts --------------------------------------------------------------------------------------

    async def tokenize(
        self,
        texts: Texts,
        *,
        model: str | None = None,
        long_prompts: str = "error",
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Tokenization:
        """As ``Client.tokenize``."""
        plan = plans.tokenize(
            self._session, texts, model=model, long_prompts=long_prompts, strict=strict
        )
        return await self._run(plan, priority, deadline)

    async def embed_text(
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
        """As ``Client.embed_text``."""
        plan = plans.embed_text(
            self._session,
            texts,
            model=model,
            normalize=normalize,
            long_prompts=long_prompts,
            strict=strict,
        )
        return await self._run(plan, priority, deadline)

    # Images -------------------------------------------------------------------------------------

    async def embed_image(
        self,
        images: Images,
        *,
        model: str | None = None,
        normalize: bool = True,
        strict: bool = True,
        priority: int = 0,
        deadline: float | None = None,
    ) -> ResultArray:
        """As ``Client.embed_image``."""
        plan = plans.embed_image(
            self._session, images, normalize=normalize, model=model, strict=strict
        )
        return await self._run(plan, priority, deadline)

    async def score(
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
        """As ``Client.score``."""
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
        return await self._run(plan, priority, deadline)

    async def rank(
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
        """As ``Client.rank``."""
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
        return await self._run(plan, priority, deadline)

    async def classify(
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
        """As ``Client.classify``."""
        plan = plans.classify(
            self._session,
            images,
            labels,
            templates=templates,
            long_prompts=long_prompts,
            model=model,
            strict=strict,
        )
        return await self._run(plan, priority, deadline)

    # Conditioning -------------------------------------------------------------------------------

    async def condition(
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
        """As ``Client.condition``."""
        arguments = {name: value for name, value in locals().items() if name != "self"}
        plan = plans.condition(
            self._session, prompts, text_params(arguments), size_params(arguments), model
        )
        return await self._run(plan, priority, deadline)

    async def condition_image(
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
        """As ``Client.condition_image``."""
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
        return await self._run(plan, priority, deadline)

    # Guidance -----------------------------------------------------------------------------------

    async def gradient(
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
        """As ``Client.gradient``."""
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
        return await self._run(plan, priority, deadline)

    async def prepare(
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
        """As ``Client.prepare``."""
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
        return await self._run(plan, priority, deadline)

    async def release(
        self, handle: Handle, *, priority: int = 0, deadline: float | None = None
    ) -> None:
        """As ``Client.release``."""
        return await self._run(plans.release(self._session, handle), priority, deadline)
