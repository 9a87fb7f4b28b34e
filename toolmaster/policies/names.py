"""Names of models: which are behind an endpoint or served by ids, and the prefix a name lacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from toolmaster.errors import ConfigError, InputError

OPENAI = "openai"
"""Stands before the name of a model of an OpenAI-compatible server, as in `openai:NAME`."""
SERVED = "served"
"""Stands before the addresses of servers that take token ids, as in `served:http://a,http://b`."""
_OTHERS = ("hf", "replay", SERVED)
"""Words before a colon that name no endpoint."""
_FAMILIES = {
    OPENAI: r"(openai/)?(?!gpt-(oss|neo|j))(gpt-|chatgpt|codex-|o\d(-|$))",
    "anthropic": r"(anthropic/)?claude\b",
    "gemini": r"(google/|gemini/|models/)?gemini\b",
    "mistral": r"(mistral/)?(mistral|ministral|codestral|magistral|devstral|pixtral)-(?!.*/)",
    "deepseek": r"(deepseek/)?deepseek-(chat|reasoner)$",
    "xai": r"(xai/|x-ai/)?grok-",
    "cohere": r"(cohere/)?command-",
}
"""The names of hosted models, by the word to write before them."""


class EndpointModel(NamedTuple):
    """A model behind an endpoint."""

    vendor: str
    """The vendor whose interface is spoken; "" for that of OpenAI-compatible servers."""
    name: str


def endpoint_model(model: str) -> EndpointModel | None:
    """Return vendor and name of a model behind an endpoint; None for any other model.

    Example:
        >>> endpoint_model("anthropic:NAME"), endpoint_model("openai:NAME").vendor
        (EndpointModel(vendor='anthropic', name='NAME'), '')
    """
    kind, colon, name = model.partition(":")
    if not colon or kind in _OTHERS or not re.fullmatch(r"[a-z][a-z0-9_]+", kind):
        return None
    if kind != OPENAI and Path(model).exists():
        return None
    return EndpointModel("" if kind == OPENAI else kind, name.strip())


class ServedModel(NamedTuple):
    """A model behind servers that take and return token ids."""

    addresses: list[str]
    """The servers' addresses, without "/v1"."""
    model: str
    """The checkpoint whose tokenizer is used; "" for the one that the servers name."""


def served_model(model: str) -> ServedModel | None:
    """Return the servers of a model named `served:...`; None for any other model.

    Raises:
        ConfigError: An address is none, or is given twice.

    Example:
        >>> served_model("served:http://a:8000,http://b:8000 model=runs/sft/model")
        ServedModel(addresses=['http://a:8000', 'http://b:8000'], model='runs/sft/model')
    """
    kind, colon, line = model.strip().partition(":")
    if kind != SERVED or not colon:
        return None
    places, _, folder = line.partition(" model=")
    addresses = [place.strip().rstrip("/").removesuffix("/v1") for place in places.split(",")]
    for address in addresses:
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", address):
            raise ConfigError(
                f"a served model is served:ADDRESS,ADDRESS..., for example"
                f" served:http://localhost:8000, or with model=FOLDER behind it where the servers"
                f" do not know the folder of their tokenizer; received the address {address!r}"
            )
        if addresses.count(address) > 1:
            raise ConfigError(f"{address} is given twice in {model!r}; give each server once")
    return ServedModel(addresses, folder.strip())


def check_prefix(model: str, base_url: str | None = None) -> None:
    """Refuse a hosted model without the prefix that says where it is.

    Args:
        model: What the user wrote.
        base_url: The address of an endpoint, if one is given.

    Raises:
        InputError: It is one.
        ConfigError: An address is given for a model that is behind none.
    """
    if endpoint_model(model) is not None or Path(model).exists():
        return
    for prefix, pattern in _FAMILIES.items():
        if found := re.match(pattern, model, re.IGNORECASE):
            name = model.removeprefix(found[1] or "")
            server = f", or openai:{model} of a server at --base-url" if prefix != OPENAI else ""
            raise InputError(
                f"model {model!r} is not a checkpoint; write for a model behind an endpoint"
                f" {prefix}:{name}{server}"
            )
    if base_url is not None and not model.startswith("hf:"):
        raise ConfigError(
            f"--base-url (base_url) is for a model behind an endpoint: write openai:{model}"
        )
