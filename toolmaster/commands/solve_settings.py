"""The settings of `toolmaster solve` and its file of tasks, checked before anything expensive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from toolmaster.agent import AgentLimits
from toolmaster.budgets import BudgetSettings
from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError, InputError
from toolmaster.policies.base import RoomySampling, ToolCallFormat
from toolmaster.protocols import Protocol
from toolmaster.types import TrialMode


class SolveSettings(Settings):
    """One use of an agent."""

    tools: tuple[str, ...] = ()
    """Where tools come from; see `tools.sources`."""
    model: str = ""
    base_url: str | None = None
    tasks: Path | None = None
    """A file of tasks, instead of the one on the command line."""
    protocol: Protocol = Protocol.TRIAL
    trials: TrialMode | None = None
    """How trials run; None for what is safe for each source."""
    yes: bool = False
    """Calls that may destroy run unasked."""
    permissions: Path | None = None
    """A file of permission rules: what may be called, asked about or denied; see `permissions`."""
    budget: BudgetSettings = BudgetSettings()
    experience: str | None = None
    """A file of what was learned, or "none"; None for the usual file."""
    as_json: bool = False
    out: Path = Path("runs/solve/trajectories.jsonl")
    limits: AgentLimits = AgentLimits()
    sampling: RoomySampling = RoomySampling()
    concurrency: int = Field(8, ge=1)
    """Tasks in flight."""
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO
    """How tool calls are written to an endpoint."""
    seed: int = Field(0, ge=0)
    """Of the sampling of a model in this process."""


def settings_from(options: Mapping[str, Any], words: Sequence[str]) -> SolveSettings:
    """The settings of options (None for those not given) and of words `key=value`.

    Raises:
        ConfigError: a wrong key or value, no tools, or no model.
    """
    given = {key: value for key, value in options.items() if value is not None}
    settings = load_config(SolveSettings, None, words, given)
    if not settings.tools:
        raise ConfigError(
            "no tools: give --tools module.py, an mcpServers file, or an OpenAPI file or address"
        )
    if settings.yes and settings.permissions is not None:
        raise ConfigError(
            "give either --yes or --permissions FILE; the file says what runs unasked"
        )
    if not settings.model:
        raise ConfigError(
            "no model: give --model with a folder, OWNER/NAME of the Hub, or openai:NAME"
        )
    return settings


def read_tasks(path: Path) -> list[str]:
    """The tasks of a file: a line each, as text or as a JSON object with a field `query`.

    Raises:
        InputError: the file cannot be read, holds no task, or a line of it is none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read the tasks {str(path)!r}: {reason}") from None
    queries = [_query(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if not queries:
        raise InputError(f"{path} holds no task; write one a line")
    return queries


def _query(path: Path, number: int, line: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip()
    try:
        query = json.loads(line).get("query")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number}: not valid JSON: {error}") from None
    if not isinstance(query, str) or not query.strip():
        raise InputError(f'{path}, line {number}: a task is {{"query": text}}, got {line.strip()}')
    return query


def check_writable(path: Path) -> None:
    """Make sure that trajectories can be kept in a file; creates it.

    Raises:
        InputError: they cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise InputError(
            f"cannot write trajectories to {str(path)!r}: {error.strerror}; give --out FILE"
        ) from None
