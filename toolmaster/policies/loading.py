"""From the name of a model to the policy that acts with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from toolmaster.extras import require
from toolmaster.policies.base import Closable, Policy, Sampling, Spelling


def load_policy(
    model: str,
    sampling: Sampling,
    *,
    base_url: str | None = None,
    spelling: Spelling = Spelling.AUTO,
    name: str | None = None,
    seed: int = 0,
) -> Policy:
    """The policy of a model.

    Args:
        model: `openai:NAME` for an OpenAI-compatible endpoint; otherwise a name that
            `models.find_model` takes, of a model that runs in this process.
        sampling: how to generate.
        base_url: the endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`.
        spelling: how the protocol is spoken with an endpoint.
        name: shown in trajectories; None for the model's own.
        seed: of the sampling of a model in this process.

    Raises:
        InputError: no such checkpoint, or one that cannot be used.
        PolicyError: an endpoint without a key or an address.
    """
    kind, _, endpoint_model = model.partition(":")
    if kind == "openai":
        from toolmaster.policies.openai import OpenAIPolicy  # noqa: PLC0415 - heavy

        return OpenAIPolicy(endpoint_model, sampling, base_url=base_url, spelling=spelling)
    from toolmaster.models import find_model  # noqa: PLC0415

    return load_checkpoint(
        find_model(model), sampling, name=name or model.removeprefix("hf:"), seed=seed
    )


@asynccontextmanager
async def open_policy(
    model: str | Policy, sampling: Sampling, **options: Any
) -> AsyncIterator[Policy]:
    """The policy of a model, whose connections are closed in the end.

    Args:
        model: as `load_policy` takes it; or a policy, which is left open.
        sampling: how to generate.
        options: see `load_policy`.

    Raises:
        InputError: no such checkpoint, or one that cannot be used.
        PolicyError: an endpoint without a key or an address.
    """
    if not isinstance(model, str):
        yield model
        return
    policy = load_policy(model, sampling, **options)
    try:
        yield policy
    finally:
        if isinstance(policy, Closable):
            await policy.close()


def load_checkpoint(folder: Path, sampling: Sampling, *, name: str, seed: int = 0) -> Policy:
    """A checkpoint that generates in this process, in the dtype that is fastest here."""
    require("train", "torch", "transformers")
    from toolmaster.chat import ChatFormat  # noqa: PLC0415 - loads torch
    from toolmaster.models import (  # noqa: PLC0415
        fast_dtype,
        fit_context,
        load_model,
        load_tokenizer,
        read_config,
    )
    from toolmaster.policies.transformers import TransformersPolicy  # noqa: PLC0415

    sampling = fit_context(read_config(folder), sampling, name)
    chat = ChatFormat(load_tokenizer(folder))
    model = load_model(folder, fast_dtype())
    return TransformersPolicy(model, chat, sampling, name=name, seed=seed)
