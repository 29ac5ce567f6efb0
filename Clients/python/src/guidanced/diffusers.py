"""Conditioning for diffusers' pipelines: what their own text encoders would give, from a daemon.

>>> pipe = StableDiffusionXLPipeline.from_pretrained(path, text_encoder=None, text_encoder_2=None)
>>> image = pipe(**encode(pipe, "a red circle", "blurry", client=g), num_inference_steps=30)
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from .arguments import Texts
from .client import Client
from .errors import ArgumentError
from .images import Images
from .rerank import Chosen, best_of, rerank
from .results import Conditioning, FloatArray

__all__ = ["Chosen", "best_of", "encode", "encode_image", "recipe_of", "rerank"]

_T5_TOKENS = 256
"""diffusers' default ``max_sequence_length`` of Stable Diffusion 3; FLUX.1's is 512."""


def recipe_of(pipe: Any) -> str:
    """The recipe that a pipeline is conditioned by, also when its text encoders were left out.

    Raises:
        ArgumentError: for a pipeline of another family.
    """
    name = type(pipe).__name__
    if "Flux" in name:
        return "flux-clip"
    if "StableDiffusion3" in name:
        return "sd3-clip"
    if "StableDiffusionXL" in name:
        return "sdxl-refiner" if _config(pipe, "requires_aesthetics_score", False) else "sdxl"
    if "StableDiffusion" in name or name.startswith("StableUnCLIP"):
        return "sd2" if _is_second(pipe) else "sd1"
    raise ArgumentError(f"pipe: expected a Stable Diffusion or FLUX.1 pipeline, found {name}")


def _is_second(pipe: Any) -> bool:
    """Stable Diffusion 2 was trained on OpenCLIP's H/14: another activation, another width."""
    encoder = getattr(pipe, "text_encoder", None)
    if encoder is not None:
        return str(encoder.config.hidden_act) == "gelu"
    return getattr(pipe.unet.config, "cross_attention_dim", 768) == 1024


def encode(
    pipe_or_recipe: Any,
    prompt: Texts,
    negative_prompt: Union[Texts, None] = None,
    *,
    client: Client,
    prompt_2: Union[Texts, None] = None,
    negative_prompt_2: Union[Texts, None] = None,
    prompt_3: Union[Texts, None] = None,
    negative_prompt_3: Union[Texts, None] = None,
    max_sequence_length: int | None = None,
    model: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The keyword arguments with which a pipeline needs no text encoder of CLIP's.

    ``prompt_embeds`` and ``negative_prompt_embeds``; with Stable Diffusion XL and 3 also
    ``pooled_prompt_embeds`` and ``negative_pooled_prompt_embeds``; with FLUX.1 ``prompt_embeds`` of the
    pipeline's own T5 and ``pooled_prompt_embeds``. Tensors have the pipeline's device and type.

    Args:
        pipe_or_recipe: a pipeline, or a recipe's name; then the tensors are float32 on the CPU, and
            the part of T5 is left to the caller.
        prompt, negative_prompt: one or several.
        prompt_2, negative_prompt_2: what the second CLIP encoder reads instead (FLUX.1: T5).
        prompt_3, negative_prompt_3: what Stable Diffusion 3's T5 reads instead.
        max_sequence_length: T5's tokens.
        options: what ``Client.condition`` takes: syntax, clip_skip, long_prompts, loras, …

    Raises:
        ArgumentError: for a pipeline of another family, for prompts whose vectors differ from step to
            step or come in weighted parts, which no pipeline takes, and for what the family has no
            encoder for.
    """
    torch: Any = importlib.import_module("torch")
    pipe = None if isinstance(pipe_or_recipe, str) else pipe_or_recipe
    recipe = pipe_or_recipe if pipe is None else recipe_of(pipe)
    second: dict[str, Any] = {"prompt_2": prompt_2, "negative_prompt_2": negative_prompt_2}
    third: dict[str, Any] = {"prompt_3": prompt_3, "negative_prompt_3": negative_prompt_3}
    tokens: dict[str, Any] = {"max_sequence_length": max_sequence_length}
    is_with_t5 = pipe is not None and recipe in ("sd3-clip", "flux-clip")
    for given, is_used in (
        (second, recipe in ("sdxl", "sd3-clip") or is_with_t5),
        (third, is_with_t5 and recipe == "sd3-clip"),
        (tokens, is_with_t5),
    ):
        for name, value in given.items():
            if value is not None and not is_used:
                what = recipe if pipe is None else type(pipe).__name__
                raise ArgumentError(f"{name}: nothing reads it here ({what})")
    options = dict(options)
    if pipe is not None:
        if recipe == "sd3-clip":
            options.setdefault("hidden_width", pipe.transformer.config.joint_attention_dim)
        if recipe.startswith("sdxl"):
            zeros = _config(pipe, "force_zeros_for_empty_prompt", True)
            if negative_prompt is None:
                options.setdefault("negative_policy", "zeros" if zeros else "empty")
    # diffusers leaves the negative prompt where it is.
    if options.get("clip_skip") is not None:
        options.setdefault("negative_clip_skip", 0)
    has_second = recipe in ("sdxl", "sd3-clip")
    found = client.condition(
        prompt,
        recipe,
        negative_prompt,
        prompts_2=prompt_2 if has_second else None,
        negative_2=negative_prompt_2 if has_second else None,
        model=model,
        **options,
    )
    _check_plain(found)
    device, dtype = _place(pipe, torch)

    def tensor(values: FloatArray | None) -> Any:
        return None if values is None else torch.from_numpy(np.array(values)).to(device, dtype)

    arguments = {
        "prompt_embeds": tensor(found.hidden_states),
        "negative_prompt_embeds": tensor(found.negative_hidden_states),
        "pooled_prompt_embeds": tensor(found.pooled),
        "negative_pooled_prompt_embeds": tensor(found.negative_pooled),
    }
    if pipe is not None and recipe == "sd3-clip":
        length = _T5_TOKENS if max_sequence_length is None else max_sequence_length
        count = len(arguments["prompt_embeds"])
        for key, text in (
            ("prompt_embeds", prompt_3 or prompt),
            ("negative_prompt_embeds", negative_prompt_3 or negative_prompt or ""),
        ):
            rows = _t5_of_sd3(pipe, _repeated(text, count), length, torch)
            arguments[key] = torch.cat([arguments[key], rows.to(device, dtype)], dim=-2)
    if recipe == "flux-clip":
        if negative_prompt is None:
            del arguments["negative_pooled_prompt_embeds"], arguments["negative_prompt_embeds"]
        if pipe is not None:
            length = 512 if max_sequence_length is None else max_sequence_length
            count = len(arguments["pooled_prompt_embeds"])
            arguments["prompt_embeds"] = _t5_of_flux(pipe, prompt_2 or prompt, count, length)
            if negative_prompt is not None:
                arguments["negative_prompt_embeds"] = _t5_of_flux(
                    pipe, negative_prompt_2 or negative_prompt, count, length
                )
    return {key: value for key, value in arguments.items() if value is not None}


def encode_image(
    pipe_or_recipe: Any,
    images: Images,
    *,
    client: Client,
    plus: bool = False,
    model: str | None = None,
) -> dict[str, Any]:
    """The keyword arguments with which a pipeline needs no image encoder.

    For Stable unCLIP (or ``"unclip"``) ``image_embeds`` [N, D]; for all others one IP-Adapter's
    ``ip_adapter_image_embeds``: [[2, N, D]], or [[2, N, T, W]] with ``plus``, negative rows first.
    """
    torch: Any = importlib.import_module("torch")
    pipe = None if isinstance(pipe_or_recipe, str) else pipe_or_recipe
    if pipe is None:
        recipe = str(pipe_or_recipe)
    elif "UnCLIP" in type(pipe).__name__:
        recipe = "unclip"
    else:
        recipe = "ip-adapter-plus" if plus else "ip-adapter"
    found = client.condition_image(images, recipe, model=model)
    device, dtype = _place(pipe, torch)

    def tensor(values: FloatArray | None) -> Any:
        if values is None:
            raise ArgumentError(f"{recipe}: the daemon gave no such vectors")
        return torch.from_numpy(np.array(values)).to(device, dtype)

    if recipe == "unclip":
        return {"image_embeds": tensor(found.image_embeddings)}
    if recipe == "ip-adapter":
        pair = [found.negative_image_embeddings, found.image_embeddings]
    else:
        pair = [found.negative_hidden_states, found.hidden_states]
    return {"ip_adapter_image_embeds": [torch.stack([tensor(values) for values in pair])]}


def _check_plain(found: Conditioning) -> None:
    if len(found.segments) > 1:
        raise ArgumentError(
            "prompt: its vectors differ from step to step; take them from Client.condition and set "
            "them in a callback"
        )
    for name in ("rows", "negative_rows"):
        rows = found.report.get(name) or []
        if len({row.get("prompt") for row in rows}) != len(rows):
            raise ArgumentError(
                "prompt: it has several weighted parts (AND), which a pipeline does not take; take "
                "them from Client.condition"
            )


def _config(pipe: Any, name: str, default: bool) -> bool:
    return bool(pipe.config.get(name, default))


def _place(pipe: Any, torch: Any) -> tuple[Any, Any]:
    """Device and type of the network that takes the embeddings."""
    if pipe is None:
        return "cpu", torch.float32
    network = getattr(pipe, "unet", None)
    if network is None:
        network = pipe.transformer
    return pipe._execution_device, network.dtype


def _repeated(text: Texts, count: int) -> list[str]:
    texts: Sequence[str] = [text] if isinstance(text, str) else list(text)
    return list(texts) * count if len(texts) == 1 else list(texts)


def _t5_of_sd3(pipe: Any, texts: list[str], length: int, torch: Any) -> Any:
    if pipe.text_encoder_3 is None:
        # What diffusers puts in T5's place.
        return torch.zeros(len(texts), length, pipe.transformer.config.joint_attention_dim)
    return pipe._get_t5_prompt_embeds(
        prompt=texts, num_images_per_prompt=1, max_sequence_length=length, dtype=pipe.text_encoder_3.dtype
    )


def _t5_of_flux(pipe: Any, text: Texts, count: int, length: int) -> Any:
    if pipe.text_encoder_2 is None:
        raise ArgumentError("pipe: FLUX.1 also needs its T5 (text_encoder_2), which no daemon serves")
    return pipe._get_t5_prompt_embeds(
        prompt=_repeated(text, count),
        num_images_per_prompt=1,
        max_sequence_length=length,
        dtype=pipe.text_encoder_2.dtype,
    )
