"""Makes a policy from the name of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolmaster.errors import ConfigError
from toolmaster.policies.base import (
    Closable,
    EndpointSettings,
    Policy,
    RoomySampling,
    Sampling,
    ToolCallFormat,
)
from toolmaster.policies.names import check_prefix, endpoint_model, served_model
from toolmaster.system.extras import require
from toolmaster.system.redaction import refuse_credentials

if TYPE_CHECKING:
    from toolmaster.policies.transformers import TransformersPolicy


def check_model(model: object, base_url: str | None = None) -> None:
    """Refuse what names no model, before anything is opened or obtained.

    Args:
        model: A name that `load_policy` accepts, or a policy.
        base_url: The address of an endpoint, if one is given.

    Raises:
        ConfigError: It is neither, or the address holds a credential or is for no endpoint.
        InputError: A hosted model lacks its prefix.
    """
    try:
        refuse_credentials(base_url or "")
    except ValueError as error:
        raise ConfigError(f"base_url: {error}") from None
    if isinstance(model, str):
        check_prefix(model, base_url)
        served_model(model)
        endpoint = endpoint_model(model)
        named: object = model.strip() if endpoint is None else endpoint.name
    else:
        named = hasattr(model, "conversation")
    if not named:
        raise ConfigError(
            f"a model is openai:NAME, a checkpoint folder, a model id of the Hub as OWNER/NAME,"
            f" VENDOR:NAME such as anthropic:NAME, served:ADDRESS, or a policy; received {model!r}"
        )


def check_reachable(
    model: str, base_url: str | None, endpoint: EndpointSettings | None = None
) -> None:
    """Refuse a model that cannot be found, before it is loaded or asked anything.

    Raises:
        ConfigError: An address is given for a model that is behind none.
        InputError: There is no such checkpoint, or the library for vendors is missing.
        PolicyError: The key or the address of an endpoint is missing or wrong.
    """
    if endpoint_model(model) is not None:
        load_policy(model, Sampling(), base_url=base_url, endpoint=endpoint)  # asks nothing
        return
    from toolmaster.models.checkpoints import find_model  # noqa: PLC0415 - heavy

    check_model(model, base_url)
    if served_model(model) is None:  # its servers are asked when it is loaded
        find_model(model)


def load_policy(
    model: str,
    sampling: Sampling,
    *,
    base_url: str | None = None,
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO,
    endpoint: EndpointSettings | None = None,
    name: str | None = None,
    seed: int = 0,
) -> Policy:
    """Return the policy of a model.

    Args:
        model: `openai:NAME` for a model of an OpenAI-compatible server, `VENDOR:NAME` such as
            `anthropic:NAME` for one of a hosted vendor, `served:ADDRESS,ADDRESS...` for one behind
            servers that take token ids, or a name that `models.find_model` accepts, for a model
            that runs in this process.
        sampling: Temperature and limits of the generation.
        base_url: The address of an endpoint; None for `OPENAI_BASE_URL`, the vendor's or OpenAI's
            own.
        tool_calls: How tool calls are written to an endpoint.
        endpoint: Timeouts, headers and further fields of the requests to an endpoint.
        name: The policy's name in trajectories, for a model in this process; None uses the model's.
        seed: Seed of the sampling, for a model in this process.

    Raises:
        ConfigError: The name is empty or lacks its prefix, or an address is given for a model that
            is behind none, is wrong or holds a credential.
        InputError: There is no such checkpoint, it cannot be used, or a library is missing.
        PolicyError: The key or the address of an endpoint is missing or wrong.

    Example:
        >>> load_policy("openai:NAME", Sampling(), base_url="http://localhost:8000/v1").name
        'NAME'
    """
    check_model(model, base_url)
    found = endpoint_model(model)
    sampling = fit_sampling(sampling, model, tool_calls)
    if found is not None:
        from toolmaster.policies.openai import OpenAIPolicy  # noqa: PLC0415 - heavy

        return OpenAIPolicy(
            found.name,
            sampling,
            base_url=base_url,
            tool_calls=tool_calls,
            vendor=found.vendor,
            **dict(endpoint or EndpointSettings()),
        )
    served = served_model(model)
    if served is not None:
        require("train", "transformers")
        from toolmaster.policies.served import load_served  # noqa: PLC0415 - heavy

        return load_served(served, sampling, endpoint=endpoint, name=name)
    from toolmaster.models.checkpoints import find_model  # noqa: PLC0415

    return load_checkpoint(
        find_model(model), sampling, name=name or model.removeprefix("hf:"), seed=seed
    )


def fit_sampling(
    sampling: Sampling, model: str, tool_calls: ToolCallFormat = ToolCallFormat.AUTO
) -> Sampling:
    """Return the sampling with small defaults for a model in this process, or trained here."""
    small = endpoint_model(model) is None or tool_calls == ToolCallFormat.TRAINED
    if small and isinstance(sampling, RoomySampling):
        return sampling.with_defaults(sampling.small)
    return sampling


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


def load_checkpoint(
    folder: Path, sampling: Sampling, *, name: str, seed: int = 0
) -> TransformersPolicy:
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
