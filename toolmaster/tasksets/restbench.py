"""RestBench: queries on the real services of TMDB and Spotify, with gold paths of endpoints.

Source: Song et al., "RestGPT", arXiv 2306.06624; `tmdb.json` or `spotify.json`, and the service's
OpenAPI document in the folder `specs`. Official metric: the correct-path rate, the fraction of
queries whose calls contain the gold path as a subsequence. Nothing says what a right answer is, so
`success` is about the path, too: the calls of the execution phase that were answered contain it.
`value` is the fraction of the path that they walk. Parts: `correct_path` (the official metric, all
calls) and `correct_path_strict` (success, no call to another endpoint, and an answer).

Gold endpoints with typos, spaces or a query string are matched to the endpoint that they mean. An
endpoint that the document does not have counts as not reached.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PositiveInt

from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.tasksets.benchmark import read_rows
from toolmaster.tasksets.responses import Backend, BackendTools, Kind, PastCall, choose_backend
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import SharedResource, Taskset
from toolmaster.tools import Tool
from toolmaster.tools.openapi import Credentials, Document, described, load_document, open_openapi
from toolmaster.tools.running import run_tool
from toolmaster.types import Phase, Score, Trajectory

LIMITS = Limits(max_turns=20, result_chars=8000)
TIMEOUT_S = 30.0
"""Seconds that the live service may take to answer."""


class Row(BaseModel):
    """A row of the file."""

    query: str = Field(min_length=1)
    solution: list[str] = Field(min_length=1)


def restbench(
    file: Path,
    *,
    document: Path,
    responses: Kind = "live",
    base_url: str | None = None,
    auth: str = "",
    recordings: Path | None = None,
    simulator: str | None = None,
    simulator_url: str | None = None,
    offered: PositiveInt | None = None,
) -> Taskset:
    """Return the task set of RestBench: queries on TMDB or Spotify, scored by the path of calls.

    Args:
        file: the original file, `tmdb.json` or `spotify.json`.
        document: the service's OpenAPI document, `tmdb_oas.json` or `spotify_oas.json`.
        responses: what answers the calls: "live", "recorded" (with `recordings`) or "simulated"
            (with `simulator`).
        base_url: where the live service is; None for the server that the document names.
        auth: credentials of the live service, as KIND=VARIABLE with commas between: for TMDB
            `api_key=TMDB_API_KEY`, for Spotify `bearer=SPOTIFY_TOKEN`; see
            `tools.openapi.Credentials`.
        recordings: a JSON-lines file of responses, read and added to.
        simulator: the model that answers, as `openai:NAME`.
        simulator_url: its OpenAI-compatible endpoint; None for OpenAI's own.
        offered: the number of tools of a task, for models with a short context: those of its gold
            path and others drawn at random. None offers all tools, as upstream does.

    Raises:
        ConfigError: options that do not go together.
        InputError: the file, the document, the recordings or a credential is unusable.
    """
    service = load_document(document)
    live = responses == "live"
    credentials = _credentials(auth) if live else {}
    keys = Credentials(credentials, service.security_schemes)
    tools = [
        replace(described(op, keys), own_name=op.name, timeout_s=TIMEOUT_S if live else None)
        for op in service.operations
    ]
    opened = SharedResource(
        partial(open_openapi, service, base_url=base_url, auth=credentials, timeout_s=TIMEOUT_S)
    )

    async def ask(tool: Tool, arguments: dict[str, Any], _earlier: Sequence[PastCall]) -> Any:
        return await run_tool(opened.current[tool.name], None, arguments)

    itself = Backend("live", "live", ask, opened.open)
    backend = choose_backend(responses, itself, {}, recordings, simulator, simulator_url)

    def make(index: int, row: Row) -> Task:
        task_id = f"restbench/{file.stem}/{index}"
        gold = [meant_tool(written, service) for written in row.solution]
        others = [tool.name for tool in tools if tool.name not in gold]
        if offered is not None:
            room = min(max(offered - len(tools) + len(others), 0), len(others))
            others = random.Random(task_id).sample(others, room)
        return Task(
            id=task_id,
            query=row.query,
            tools=BackendTools(
                [t for t in tools if t.name in {*gold, *others}], backend.respond, live
            ),
            check=lambda trajectory, _: _score(trajectory, gold, backend),
            needed=tuple(dict.fromkeys(gold)),
            labels={"family": f"{len(gold)} calls", "observations": backend.label},
        )

    rows = read_rows(file, Row, make)
    facts = {"observations": backend.label}
    return rows.taskset("restbench", limits=LIMITS, facts=facts, resources=backend.open)


def meant_tool(written: str, document: Document) -> str:
    """Return the tool of an endpoint such as `GET /tv/{tv_id}`, or the text if none is similar.

    White space, a query string, names of parameters, a typo, and a fixed word where the document
    has a parameter do not matter.
    """
    names = {f"{op.method} {op.path}": op.name for op in document.operations}
    method, _, path = " ".join(written.split()).partition(" ")
    endpoint = f"{method.upper()} {path.partition('?')[0].replace(' ', '').rstrip('/')}"
    if endpoint in names:
        return names[endpoint]
    forms = {_anonymous(place): name for place, name in names.items()}
    for form, name in forms.items():
        if re.fullmatch(re.escape(form).replace(r"\{\}", "[^/]+"), _anonymous(endpoint)):
            return name
    shape = (method.upper(), endpoint.count("/"))
    near = [form for form in forms if (form.partition(" ")[0], form.count("/")) == shape]
    close = difflib.get_close_matches(_anonymous(endpoint), near, n=1, cutoff=0.9)
    return forms[close[0]] if close else written


def _anonymous(endpoint: str) -> str:
    return re.sub(r"\{\w*\}", "{}", endpoint)


def walked(calls: Sequence[str], gold: Sequence[str]) -> int:
    """Return the number of steps of a gold path that the calls make in order."""
    rest = iter(calls)
    return next((done for done, name in enumerate(gold) if name not in rest), len(gold))


def _score(trajectory: Trajectory, gold: Sequence[str], backend: Backend) -> Score:
    called = [step.call.name for step in trajectory.calls() if step.call]
    executed = trajectory.calls(Phase.EXECUTION)
    answered = [step.call.name for step in executed if step.call and step.error is None]
    reached = walked(answered, gold) == len(gold)
    strict = reached and set(answered) == set(gold) and bool(trajectory.answer)
    return Score.of(
        reached,
        f"answered calls of {', '.join(gold)}, in this order",
        walked(answered, gold) / len(gold),
        correct_path=walked(called, gold) == len(gold),
        correct_path_strict=strict,
        **backend.parts(trajectory),
    )


def _credentials(auth: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in auth.split(",") if part.strip()]
    if not all(kind and variable for kind, _, variable in pairs):
        raise ConfigError(f"auth {auth!r}: write it as KIND=VARIABLE, with commas between several")
    return {kind: variable for kind, _, variable in pairs}
