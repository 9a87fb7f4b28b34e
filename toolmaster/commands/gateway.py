"""`toolmaster gateway`: one's own tools for the agents that people already use."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import signal
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from toolmaster.commands.options import NOTHING, Given, Words, options, read
from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError
from toolmaster.system.extras import require
from toolmaster.types import TrialMode

TOKEN = "TOOLMASTER_GATEWAY_TOKEN"  # noqa: S105 - a name
"""Environment variable that holds the token of clients over HTTP."""


class Gateway(Settings):
    """What `toolmaster gateway` offers, and how."""

    trials: TrialMode | None = None
    """How trial calls run: on a copy (`fork`), only those of tools that read (`read_only`), or for
    real (`live`). If not set, `fork` for Python objects, else `read_only`."""
    yes: bool = False
    """Run destructive calls, and calls of unknown effect, without asking."""
    permissions: Path | None = None
    """TOML file that says which calls run, are asked about, or are denied."""
    experience: str | None = None
    """File of lessons from earlier tasks, or "none"; if not set, the user's own file."""
    out: Path = Path("runs/gateway/trajectories.jsonl")
    """File that the trajectory of each client is appended to."""
    phases: bool = False
    """Run all calls of a client as trials until it calls the tool `begin_execution`."""
    port: int | None = Field(None, ge=0, le=65535)
    """Port of streamable HTTP, 0 for a free one. If not set, one client is served over stdio."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but this machine's own needs a token in the environment variable
    TOOLMASTER_GATEWAY_TOKEN."""
    names: tuple[str, ...] = ()
    """Further names of this host that requests may be for. May be repeated."""
    max_sessions: int = Field(64, ge=1)
    """Most clients at the same time over HTTP."""
    idle_s: float = Field(1800.0, gt=0)
    """Seconds without a request after which a client's session over HTTP ends."""


@options(Gateway)
def gateway(*words: Words, given: Given = NOTHING) -> None:
    """Offer tools to any MCP client, with safe trials, lessons that last, and approvals."""
    sources = [word for word in words if not _is_setting(word)]
    settings = read(Gateway, [word for word in words if _is_setting(word)], given)
    if not sources:
        raise ConfigError(
            "no tools: name a Python file, an mcpServers file, or an OpenAPI file or address"
        )
    if settings.yes and settings.permissions is not None:
        raise ConfigError(
            "give either --yes or --permissions FILE; the file says what runs without asking"
        )
    require("mcp", "mcp")
    token = os.environ.get(TOKEN) or None
    try:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.open("ab").close()
    except OSError as error:
        raise InputError(
            f"cannot write {str(settings.out)!r}: {error.strerror}; give another --out"
        ) from None
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(settings, sources, token))


def _is_setting(word: str) -> bool:
    name, found, _ = word.partition("=")
    return bool(found) and name in Gateway.model_fields


async def _serve(settings: Gateway, sources: list[str], token: str | None) -> None:
    from toolmaster.experience import Experience, ExperienceStore, default_path  # noqa: PLC0415
    from toolmaster.serving.gateway import Gateway as Offered  # noqa: PLC0415 - heavy
    from toolmaster.serving.gateway_server import GatewayServer  # noqa: PLC0415 - loads the SDK
    from toolmaster.serving.tool_server import is_loopback  # noqa: PLC0415
    from toolmaster.tools.permissions import (  # noqa: PLC0415
        AllowAll,
        Approver,
        Ask,
        kept_approvals,
        read_rules,
        with_kept_effects,
    )
    from toolmaster.tools.sources import open_sources  # noqa: PLC0415

    if settings.port is not None and token is None and not is_loopback(settings.host):
        raise ConfigError(
            f"--host {settings.host} can be reached from other machines: set the environment"
            f" variable {TOKEN} to a secret that clients then send as 'Authorization: Bearer'"
        )
    file = settings.permissions
    rules = read_rules(file) if file is not None else None
    # Nobody types here: standard input belongs to the protocol.
    approver: Approver = AllowAll() if settings.yes else Ask(rules, answers=io.StringIO())
    approvals = default_path().with_name("approvals.jsonl")
    place = settings.experience
    store = None if place == "none" else ExperienceStore(Path(place or default_path()))
    async with open_sources(sources, trials=settings.trials) as opened:
        tools = with_kept_effects(opened, default_path().with_name("effects.jsonl"))
        if rules is not None:
            rules.check(tools)
        offered = Offered(
            tools,
            approver,
            experience=Experience(store, approver) if store is not None else None,
            file=settings.out,
            how_to_allow=f"cd {shlex.quote(str(Path.cwd()))} && toolmaster tools"
            f" {shlex.join(sources)} --allow {{}}",
            approved=lambda: kept_approvals(approvals),
            phases=settings.phases,
        )
        server = GatewayServer(offered)
        if settings.port is not None:
            await server.serve_http(
                settings.port,
                settings.host,
                names=settings.names,
                token=token,
                max_sessions=settings.max_sessions,
                idle_s=settings.idle_s,
            )
            return
        serving = asyncio.create_task(server.serve_stdio())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        await serving
