"""`toolmaster serve-model`: a checkpoint behind the routes of an inference server."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from toolmaster.errors import ConfigError, InputError
from toolmaster.progress import tell
from toolmaster.system.extras import require

if TYPE_CHECKING:
    from toolmaster.serving.model_server import ModelServer

_Port = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]
_Count = Annotated[int, Parameter(validator=Number(gte=1))]


def serve_model(
    folder: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: _Port = 8000,
    slots: _Count = 48,
    context_tokens: _Count = 8192,
    seed: int = 0,
) -> None:
    """Serve a model until Ctrl-C.

    Args:
        folder: A checkpoint folder or a model id of the Hub.
        host: Address to listen at. Any other than one of this machine itself needs a token in the
            environment variable SERVED_API_KEY, which clients have there too.
        port: Port to listen at; 0 takes a free one.
        slots: Number of requests that are computed together.
        context_tokens: Most tokens of a sequence, if the model's own limit is not lower.
        seed: Seed of the sampling.

    Raises:
        ConfigError: Other machines could reach the server, and there is no token.
        InputError: There is no such model, or the port is taken.
    """
    require("train", "torch", "transformers")
    from toolmaster.policies.token_server import SERVED_API_KEY  # noqa: PLC0415 - heavy

    token = os.environ.get(SERVED_API_KEY, "").strip()
    if not token and not _is_loopback(host):
        raise ConfigError(
            f"--host {host} lets other machines in: set a token for them in {SERVED_API_KEY}, here"
            " and where the clients run, or leave --host out"
        )
    from toolmaster.models.checkpoints import context_limit, find_model, read_config  # noqa: PLC0415
    from toolmaster.policies.base import Sampling  # noqa: PLC0415
    from toolmaster.policies.loading import load_checkpoint  # noqa: PLC0415
    from toolmaster.serving.model_server import ModelServer  # noqa: PLC0415
    from toolmaster.system.allocator import restart_tuned  # noqa: PLC0415

    restart_tuned()
    found = find_model(folder)
    most = min(context_tokens, context_limit(read_config(found)) or context_tokens)
    sampling = Sampling(slots=slots, context_tokens=most)
    server = ModelServer(
        load_checkpoint(found, sampling, name=folder, seed=seed), found, token=token
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server, host, port))


async def _serve(server: ModelServer, host: str, port: int) -> None:
    """Serve until the process ends.

    Raises:
        InputError: The address cannot be listened at.
    """
    from aiohttp import web  # noqa: PLC0415 - heavy

    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise InputError(
            f"cannot listen at {host}:{port}: {error.strerror}; give another --port or --host"
        ) from None
    address = f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"
    tell(f"{server.name} is served at {address}; name it as the model served:{address}")
    await asyncio.Event().wait()


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
