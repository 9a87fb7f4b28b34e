"""RestBench: queries on the real services of TMDB and Spotify, with gold paths of endpoints.

Source: Song et al., "RestGPT", arXiv 2306.06624; `tmdb.json` or `spotify.json` with the service's
OpenAPI document. Official metric: the correct-path rate, the share of queries whose calls contain
the gold path as a subsequence. Strict: the calls of the execution phase that the service answered
contain it, go to no other endpoint, and lead to an answer.

TMDB needs no service: by default the film world answers (`films`), where answers can be checked by
rule, too. Gold endpoints with typos, stray spaces or a query string are read as the endpoint that
they mean; one that the document does not have can never be reached and counts as not reached.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from toolmaster.benchmarks.answering import (
    Answering,
    AnsweringOptions,
    open_answering,
    open_recordings,
)
from toolmaster.benchmarks.base import Benchmark, Calls, Case, Source, Suite, Values
from toolmaster.benchmarks.films import FilmService, FilmWorld, serve
from toolmaster.benchmarks.films.asked import Expected, expected
from toolmaster.benchmarks.films.operations import OPERATIONS
from toolmaster.benchmarks.films.walk import LostError, Stop, other_walks, walk
from toolmaster.benchmarks.responses import History, connect, live
from toolmaster.benchmarks.rows import read_cases
from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.openapi import Document, load_document, open_openapi
from toolmaster.types import Effect, Phase, Score, ToolCall, Trajectory

LIMITS = Limits(max_turns=20, result_chars=8000)


class RestBenchOptions(AnsweringOptions):
    """What answers, who judges, and where the document is."""

    responses: Literal["films", "live", "recorded", "simulated"] = "films"  # type: ignore[assignment]
    """The film world (TMDB only), the service itself, recordings of it, or a language model."""
    document: Path | None = None
    """The service's OpenAPI document; None looks beside the data and in ../specs for
    `tmdb_oas.json` or `spotify_oas.json`."""
    base_url: str | None = None
    """Where the live service is; None for the server that the document names."""
    auth: tuple[str, ...] = ()
    """Credentials of the live service, as KIND=VARIABLE: for TMDB `api_key=TMDB_API_KEY`, for
    Spotify `bearer=SPOTIFY_TOKEN`. See `tools.openapi.credentials`."""
    world: int = Field(0, ge=0)
    """The seed of the film world."""
    offered: int | None = Field(None, ge=1)
    """Tools that a task offers, for models with a short context: those of its gold path and others
    drawn by chance, up to so many. None offers all, as the original does."""


class Row(BaseModel):
    """A row of the file."""

    query: str = Field(min_length=1)
    solution: list[str] = Field(min_length=1)


class Endpoints:
    """The document's endpoints, found by what a gold path calls them.

    Args:
        document: the service's document.
    """

    def __init__(self, document: Document) -> None:
        self._names = {f"{op.method} {op.path}": op.name for op in document.operations}
        self._anonymous = {_anonymous(endpoint): endpoint for endpoint in self._names}

    def find(self, written: str) -> str | None:
        """The endpoint that a gold path means, such as `GET /tv/{tv_id}`; None if none is near.

        White space, a query string and the names of parameters do not matter, nor does a misspelt
        word or a fixed word where the document has a parameter.
        """
        method, _, path = " ".join(written.split()).partition(" ")
        wanted = f"{method.upper()} {path.partition('?')[0].replace(' ', '').rstrip('/')}"
        if wanted in self._names:
            return wanted
        for form, endpoint in self._anonymous.items():
            if re.fullmatch(re.escape(form).replace(r"\{\}", "[^/]+"), _anonymous(wanted)):
                return endpoint
        shape = (method.upper(), wanted.count("/"))
        near = [f for f in self._anonymous if (f.partition(" ")[0], f.count("/")) == shape]
        close = difflib.get_close_matches(_anonymous(wanted), near, n=1, cutoff=0.9)
        return self._anonymous[close[0]] if close else None

    def tool(self, endpoint: str) -> str:
        """The name of an endpoint's tool."""
        return self._names[endpoint]


def _anonymous(endpoint: str) -> str:
    return re.sub(r"\{\w*\}", "{}", endpoint)


def contains_path(calls: Sequence[str], gold: Sequence[str]) -> bool:
    """Whether `gold` is a subsequence of `calls`: all of it, in order, with anything between."""
    rest = iter(calls)
    return all(name in rest for name in gold)


@dataclass(frozen=True, slots=True)
class Films:
    """The film world behind the tools."""

    service: FilmService
    document: Document

    def solve(self, row: Row, gold: Sequence[str]) -> tuple[Calls, Expected | None] | None:
        """Calls along the gold path and what a right answer says; None if it leads nowhere."""
        paths = [endpoint.partition(" ")[2] for endpoint in gold]
        try:
            walks = walk(self.service, row.query, paths)
            others = other_walks(self.service, row.query, paths)
        except LostError:
            return None
        calls = [self._call(stop) for stops in walks for stop in stops]
        return [calls], expected(row.query, walks, others)

    def _call(self, stop: Stop) -> ToolCall:
        operation = next(op for op in self.document.operations if op.path == stop.path)
        names = {parameter.name: parameter.argument for parameter in operation.parameters}
        arguments = {names[name]: value for name, value in stop.arguments.items()}
        return ToolCall(name=operation.name, arguments=arguments)


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open the file and whatever answers its calls."""
    options = source.options
    assert isinstance(options, RestBenchOptions)  # noqa: S101 - the benchmark's own
    if source.path is None:
        raise ConfigError("this benchmark needs its original file; give --data FILE")
    document = load_document(options.document or find_document(source.path))
    async with AsyncExitStack() as stack:
        films = _films(options, document)
        base_url, auth = options.base_url, dict(_pair(item) for item in options.auth)
        if films is not None:
            base_url, auth = stack.enter_context(serve(films.service)), {}
        elif options.responses != "live":  # nothing is sent, so nobody has to let us in
            auth = {}
        opened = open_openapi(document, base_url=base_url, auth=auth)
        tools = (await stack.enter_async_context(opened)).tools
        answering = await stack.enter_async_context(_answering(options, source, tools))
        endpoints = Endpoints(document)
        stem = source.path.stem

        def make(index: int, row: Row) -> Case:
            case = make_case(f"restbench/{stem}/{index}", row, endpoints, films)
            chosen = offered(tools, case, options.offered)
            make_tools = connect(chosen, answering.answerer, harmless=answering.harmless)
            return answering.finish(replace(case, task=replace(case.task, tools=make_tools)))

        suite = read_cases(source.path, Row, make)
        yield replace(suite, facts=answering.facts)


def offered(tools: Sequence[Tool], case: Case, count: int | None) -> list[Tool]:
    """The tools that a task offers: what solves it and others drawn by chance, `count` in all.

    Args:
        tools: all there are.
        case: says what solves it, and seeds the draw.
        count: None for all tools; never fewer than solve the task.
    """
    gold = {call.name for calls in case.gold or () for call in calls}
    wanted = {tool.name for tool in tools} & {*case.needed, *gold}
    others = [tool.name for tool in tools if tool.name not in wanted]
    room = len(others) if count is None else min(max(count - len(wanted), 0), len(others))
    wanted.update(random.Random(case.task.id).sample(others, room))
    return [tool for tool in tools if tool.name in wanted]


def make_case(task_id: str, row: Row, endpoints: Endpoints, films: Films | None) -> Case:
    """A row as a case, still without tools.

    Args:
        task_id: its id.
        row: query and gold path.
        endpoints: those of the document.
        films: the film world, where it answers: then there are gold calls and an expected answer.
    """
    found = [endpoints.find(written) for written in row.solution]
    path = [e for e in found if e is not None]
    gold = [
        endpoints.tool(e) if e else written for e, written in zip(found, row.solution, strict=True)
    ]
    solved = films.solve(row, path) if films and len(path) == len(found) else None
    calls, right = solved or (None, None)

    def check(answer: str | None, tools: ToolSet) -> Score:
        assert isinstance(tools.state, History)  # noqa: S101 - made by `connect`
        tools.state.raise_fault()
        reached = contains_path([visit.tool for visit in tools.state.visits], gold)
        return Score(
            success=reached,
            answer_correct=right.met_by(answer) if right else bool(answer),
            state_correct=reached,
        )

    def measure(trajectory: Trajectory) -> Values:
        values = _path_values(trajectory, gold)
        if right is not None:
            values["answer_correct"] = float(right.met_by(trajectory.answer))
        return values

    task = Task(
        id=task_id,
        query=row.query,
        tools=lambda: ToolSet(()),
        check=check,
        labels={"split": "unseen", "family": f"{len(gold)} calls"},
    )
    return Case(task, measure, tuple(gold), calls, right.text() if right else "done")


def _path_values(trajectory: Trajectory, gold: Sequence[str]) -> dict[str, float]:
    """The correct-path rate of one trajectory, official and strict."""
    called = [step.call.name for step in trajectory.calls() if step.call]
    executed = [s for s in trajectory.calls(Phase.EXECUTION) if s.call and s.error is None]
    answered = [step.call.name for step in executed if step.call]
    strict = (
        contains_path(answered, gold) and set(answered) == set(gold) and bool(trajectory.answer)
    )
    return {
        "correct_path": float(contains_path(called, gold)),
        "correct_path_strict": float(strict),
    }


def find_document(data: Path) -> Path:
    """The OpenAPI document that lies with a file of queries.

    Raises:
        ConfigError: there is none.
    """
    name = f"{re.split('[_.-]', data.stem)[0]}_oas.json"
    places = (data.parent / name, data.parent.parent / "specs" / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = " and ".join(str(place) for place in places)
        raise ConfigError(f"no OpenAPI document in {looked}; give options.document=FILE")
    return found


def _films(options: RestBenchOptions, document: Document) -> Films | None:
    """The film world, if it is to answer.

    Raises:
        ConfigError: the document is not one that it can stand in for.
    """
    if options.responses != "films":
        return None
    unknown = [op for op in document.operations if op.path not in OPERATIONS]
    if unknown:
        raise ConfigError(
            f"the film world does not have {unknown[0].method} {unknown[0].path}; for another"
            " service than TMDB give options.responses=live, recorded or simulated"
        )
    return Films(FilmService(FilmWorld(options.world)), document)


def _answering(
    options: RestBenchOptions, source: Source, tools: Sequence[Tool]
) -> AbstractAsyncContextManager[Answering]:
    """What answers the calls: the film world counts as a live service without effects."""
    films = options.responses == "films"
    return open_answering(
        options.model_copy(update={"responses": "live"}) if films else options,
        source.folder,
        live,
        open_recordings(options, source.folder),
        label=f"film world {options.world}" if films else "live",
        harmless=films or all(tool.effect is Effect.READ for tool in tools),
    )


def _pair(item: str) -> tuple[str, str]:
    kind, equals, variable = item.partition("=")
    if not equals:
        raise ConfigError(f"options.auth: {item!r}: write it as KIND=VARIABLE")
    return kind, variable


benchmark = Benchmark("restbench", open_suite, LIMITS, RestBenchOptions)
