"""Makes a policy from the name of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError
from toolmaster.policies.base import Closable, Policy, Sampling, ToolCallFormat
from toolmaster.system.extras import require
from toolmaster.system.redaction import refuse_credentials

ENDPOINT = "openai"
"""Stands before the name of a model behind an endpoint, as in `openai:NAME`."""


def check_model(model: object) -> None:
    """Refuse what names no model, before anything is opened or obtained.

    Args:
        model: A name that `load_policy` accepts, or a policy.

    Raises:
        ConfigError: It is neither.
    """
    named = isinstance(model, str) and model.removeprefix(f"{ENDPOINT}:").strip()
    if not named and not hasattr(model, "conversation"):
        raise ConfigError(
            f"a model is openai:NAME, a checkpoint folder, a model id of the Hub as OWNER/NAME, or"
            f" a policy; received {model!r}"
        )


def check_address(base_url: str | None) -> None:
    """Refuse an endpoint's address that holds a credential.

    Raises:
        ConfigError: It does; the message says how to give it.
    """
    try:
        refuse_credentials(base_url or "")
    except ValueError as error:
        raise ConfigError(f"base_url: {error}") from None


def check_reachable(model: str, base_url: str | None) -> None:
    """Refuse a model that cannot be found, before it is loaded or asked anything.

    Raises:
        InputError: There is no such checkpoint.
        PolicyError: The key or the address of an endpoint is missing or wrong.
    """
    check_address(base_url)
    kind, _, endpoint_model = model.partition(":")
    if kind == ENDPOINT:
        from toolmaster.policies.endpoint import ChatEndpoint  # noqa: PLC0415 - heavy

        ChatEndpoint(endpoint_model, Sampling(), base_url)
    else:
        from toolmaster.models.checkpoints import find_model  # noqa: PLC0415 - heavy

        find_model(model)


def load_policy(
    model: str,
    sampling: Sampling,
    *,
    base_url: str | None = None,
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO,
    name: str | None = None,
    seed: int = 0,
) -> Policy:
    """Return the policy of a model.

    Args:
        model: `openai:NAME` for an OpenAI-compatible endpoint, or a name that `models.find_model`
            accepts, for a model that runs in this process.
        sampling: Temperature and limits of the generation.
        base_url: The address of an endpoint; None for `OPENAI_BASE_URL` or OpenAI's own.
        tool_calls: How tool calls are written to an endpoint.
        name: The policy's name in trajectories, for a model in this process; None uses the model's.
        seed: Seed of the sampling, for a model in this process.

    Raises:
        ConfigError: The name is empty, or the address holds a credential.
        InputError: There is no such checkpoint, or it cannot be used.
        PolicyError: The key or the address of an endpoint is missing or wrong.

    Example:
        >>> load_policy("openai:NAME", Sampling(), base_url="http://localhost:8000/v1").name
        'NAME'
    """
    check_model(model)
    check_address(base_url)
    kind, _, endpoint_model = model.partition(":")
    if kind == ENDPOINT:
        from toolmaster.policies.openai import OpenAIPolicy  # noqa: PLC0415 - heavy

        return OpenAIPolicy(endpoint_model, sampling, base_url=base_url, tool_calls=tool_calls)
    from toolmaster.models.checkpoints import find_model  # noqa: PLC0415

    return load_checkpoint(
        find_model(model), sampling, name=name or model.removeprefix("hf:"), seed=seed
    )


@asynccontextmanager
async def open_policy(
    model: str | Policy, sampling: Sampling, **options: Any
) -> AsyncIterator[Policy]:
    """Yield the policy of a model, and close its connections at the end.

    Args:
        model: A name that `load_policy` accepts, or a policy, which is left open.
        sampling: Temperature and limits of the generation.
        options: Further arguments of `load_policy`, which documents the errors too.
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
    """Return the policy of a checkpoint, in the dtype that is fastest on this machine."""
    require("train", "torch", "transformers")
    from toolmaster.chat import ChatFormat  # noqa: PLC0415 - loads torch
    from toolmaster.models.checkpoints import (  # noqa: PLC0415
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
