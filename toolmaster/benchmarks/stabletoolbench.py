"""StableToolBench: queries over thousands of web APIs that are mostly gone.

Source: Guo et al., "StableToolBench", arXiv 2403.07714; the files `G*.json` in its folder
`solvable_queries/test_instruction` (765 rows). Official metric: the solvable pass rate, which needs
a judge (`options.judge`); strict: solved, by every vote, with nothing made up. Offline, by rule:
recall of the relevant APIs, whether all of them answered (which counts as success where there is no
better verdict), and the validity of calls: a known tool, required parameters there and none
unknown; strict: types too.

Calls are answered by StableToolBench's own server (`options.server`), by its folder of real
responses (`options.cache`), by our recordings, or by a simulator.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, Field

from toolmaster.benchmarks.answering import (
    MISSES,
    AnsweringOptions,
    open_answering,
    open_recordings,
)
from toolmaster.benchmarks.base import Benchmark, Case, Source, Suite, Values
from toolmaster.benchmarks.recordings import Recording, Recordings
from toolmaster.benchmarks.responses import Answerer, History, connect
from toolmaster.benchmarks.rows import RowError, read_cases
from toolmaster.benchmarks.toolbench_apis import TIMEOUT_S, Api, as_tool, misuse, named, standard
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Score, Trajectory

LIMITS = Limits(max_turns=20, result_chars=2048)


class StableToolBenchOptions(AnsweringOptions):
    """What answers, and who judges."""

    server: str | None = None
    """The address of a running StableToolBench server, such as http://localhost:8080/virtual; its
    key is read from TOOLBENCH_KEY."""
    cache: Path | None = None
    """The original's folder `tool_response_cache`: its responses count as recorded."""


class Row(BaseModel):
    """A row of the file."""

    query: str = Field(min_length=1)
    query_id: int | str
    api_list: list[Api] = Field(min_length=1)
    relevant: list[tuple[str, str]] = Field(alias="relevant APIs", min_length=1)
    """Tool name and API name of what a solution calls."""


@asynccontextmanager
async def open_suite(source: Source) -> AsyncIterator[Suite]:
    """Open the file and whatever answers its calls."""
    options = source.options
    assert isinstance(options, StableToolBenchOptions)  # noqa: S101 - the benchmark's own
    if options.responses == "live" and options.server is None:
        raise ConfigError(
            "StableToolBench needs something to answer its calls: give options.server=URL, or"
            " options.responses=recorded or simulated"
        )
    if options.cache is None:
        kept = open_recordings(options, source.folder)
    elif options.cache.is_dir():
        file = options.recordings or source.folder / "recordings.jsonl"
        kept = Recordings(file, source.folder / MISSES)
    else:
        raise InputError(f"options.cache: {options.cache} is not a folder")
    examples: dict[str, Any] = {}
    apis: dict[str, Api] = {}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=TIMEOUT_S))
        server = partial(_ask_server, client, options.server or "", apis)
        answering = await stack.enter_async_context(
            open_answering(
                options,
                source.folder,
                server,
                kept,
                label="StableToolBench server",
                harmless=True,
                examples=examples,
            )
        )
        stem = source.path.stem if source.path else ""

        def make(_index: int, row: Row) -> Case:
            tools = named(row.api_list)
            apis.update(tools)
            examples.update({name: api.template_response for name, api in tools.items()})
            if options.cache is not None and kept is not None:
                hold_cached(options.cache, tools, kept)
            return answering.finish(make_case(stem, row, tools, answering.answerer))

        suite = read_cases(source.path, Row, make)
        if options.cache is not None and not kept:
            raise InputError(f"{options.cache} holds no response for any API of {source.path}")
        yield replace(suite, facts=answering.facts)


def make_case(stem: str, row: Row, apis: dict[str, Api], answerer: Answerer) -> Case:
    """A row as a case.

    Args:
        stem: name of the file, which is the group.
        row: query, APIs, and which of them are relevant.
        apis: tool name to API.
        answerer: answers the calls.

    Raises:
        RowError: a relevant API that the row does not list.
    """
    tools = {name: as_tool(name, api) for name, api in apis.items()}
    needed = tuple(dict.fromkeys(_needed(apis, row.relevant)))

    async def checked(tool: Tool, arguments: dict[str, Any], history: History) -> Any:
        wrong = misuse(tool, arguments)
        if wrong is not None:
            raise ToolRefusal(wrong)
        return await answerer(tool, arguments, history)

    def check(answer: str | None, session_tools: ToolSet) -> Score:
        history = session_tools.state
        assert isinstance(history, History)  # noqa: S101 - made by `connect`
        history.raise_fault()
        reached = set(needed) <= set(history.succeeded())
        return Score(
            success=reached and bool(answer), answer_correct=bool(answer), state_correct=reached
        )

    task = Task(
        id=f"stabletoolbench/{stem}/{row.query_id}",
        query=row.query,
        tools=connect(list(tools.values()), checked, harmless=True),
        check=check,
        labels={"split": "unseen", "family": stem},
    )
    return Case(task, partial(_validity, tools, needed), needed)


def _needed(apis: dict[str, Api], relevant: Sequence[tuple[str, str]]) -> Iterator[str]:
    for index, pair in enumerate(relevant):
        wanted = tuple(map(standard, pair))
        name = next(
            (n for n, a in apis.items() if (standard(a.tool_name), a.standard_name) == wanted), None
        )
        if name is None:
            raise RowError(f"relevant APIs.{index}", f"{' / '.join(pair)} is not in api_list")
        yield name


def _validity(tools: dict[str, Tool], needed: Sequence[str], trajectory: Trajectory) -> Values:
    """How many calls fit the documentation, and whether all relevant APIs answered."""
    calls = [step.call for step in trajectory.calls() if step.call]
    known = [call for call in calls if call.name in tools]
    fit = [call for call in known if misuse(tools[call.name], call.arguments) is None]
    strict = [
        call
        for call in fit
        if replace(tools[call.name], validated=True).violation(call.arguments) is None
    ]
    answered = {s.call.name for s in trajectory.calls() if s.call and s.error is None}
    values = {"all_relevant": float(set(needed) <= answered)}
    if calls:
        values["valid_calls"] = len(fit) / len(calls)
        values["valid_calls_strict"] = len(strict) / len(calls)
    return values


async def _ask_server(
    client: httpx.AsyncClient,
    server: str,
    apis: dict[str, Api],
    tool: Tool,
    arguments: dict[str, Any],
    _history: History,
) -> Any:
    """Ask StableToolBench's own server.

    Raises:
        ToolRefusal: the API answers with an error.
        PolicyError: the server cannot be reached or does not answer as it should.
    """
    api = apis[tool.name]
    question = {
        "category": api.standard_category,
        "tool_name": api.standard_tool,
        "api_name": api.standard_name,
        "tool_input": arguments,
        "strip": "truncate",
        "toolbench_key": os.environ.get("TOOLBENCH_KEY", ""),
    }
    try:
        response = await client.post(server, json=question)
        response.raise_for_status()
        return _unpacked(response.json())
    except (httpx.HTTPError, ValueError) as error:
        raise PolicyError(f"the server at {server}: {type(error).__name__}: {error}") from None


def _unpacked(answer: Any) -> Any:
    """The response in the original's envelope of error and response.

    Raises:
        ToolRefusal: it holds an error.
        ValueError: it is no such envelope.
    """
    if not isinstance(answer, dict) or "response" not in answer:
        raise ValueError(f"expected an object with error and response, got {str(answer)[:100]!r}")
    if answer.get("error"):
        raise ToolRefusal(str(answer["error"]))
    return answer["response"]


def hold_cached(folder: Path, apis: Mapping[str, Api], kept: Recordings) -> None:
    """Take over the real responses that the original keeps of some APIs.

    Args:
        folder: `tool_response_cache`: CATEGORY/TOOL_for_CATEGORY/API.json, call to response.
        apis: tool name to API.
        kept: where they go.

    Raises:
        InputError: a file that is not as the original writes it.
    """
    for name, api in apis.items():
        category = api.standard_category
        tool_folder = folder / category / f"{api.standard_tool}_for_{category}"
        file = tool_folder / f"{api.standard_name}.json"
        if not file.is_file():
            continue
        try:
            for written, answer in json.loads(file.read_text("utf-8")).items():
                kept.hold(_cached(name, ast.literal_eval(written), answer))
        except (ValueError, SyntaxError, AttributeError) as error:
            raise InputError(f"{file}: not a cache of responses: {error}") from None


def _cached(tool: str, arguments: dict[str, Any], answer: Any) -> Recording:
    try:
        return Recording(tool=tool, arguments=arguments, result=_unpacked(answer))
    except ToolRefusal as refusal:
        return Recording(tool=tool, arguments=arguments, result=str(refusal), refused=True)


benchmark = Benchmark("stabletoolbench", open_suite, LIMITS, StableToolBenchOptions)
