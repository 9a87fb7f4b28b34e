"""StableToolBench: queries over thousands of web APIs, most of which no longer exist.

Source: Guo et al., "StableToolBench", arXiv 2403.07714; the files `G*.json` in its folder
`solvable_queries/test_instruction` (765 rows). Official metric: the solvable pass rate, which needs
a judge. With a judge, `value` is the score of its verdict, `success` means that the verdict is
"solved", and the parts `pass_rate` and `pass_rate_strict` (solved, and no part of the answer is
made up) are added.

Without one a rule decides: there is an answer, and all relevant APIs answered in the execution
phase; `value` is the fraction of them that did. Part: `all_relevant` (they answered, in any phase).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.errors import ConfigError
from toolmaster.judges.json_endpoint import endpoint_model
from toolmaster.limits import Limits
from toolmaster.tasksets.benchmark import RowError, read_rows
from toolmaster.tasksets.pass_rate import PROMPT, judged
from toolmaster.tasksets.responses import (
    BackendTools,
    Kind,
    PastCall,
    choose_backend,
    open_endpoint,
)
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import SharedResource, Taskset
from toolmaster.tasksets.toolbench import Api, as_tool, misuse, named, standard, toolbench_server
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Phase, Score, Trajectory

LIMITS = Limits(max_turns=20, result_chars=2048)


class Row(BaseModel):
    """A row of the file."""

    query: str = Field(min_length=1)
    query_id: int | str
    api_list: list[Api] = Field(min_length=1)
    relevant: list[tuple[str, str]] = Field(alias="relevant APIs", min_length=1)
    """Tool name and API name of each API that a solution calls."""


def stabletoolbench(
    file: Path,
    *,
    responses: Kind = "live",
    server: str | None = None,
    recordings: Path | None = None,
    simulator: str | None = None,
    simulator_url: str | None = None,
    judge: str | None = None,
    judge_url: str | None = None,
) -> Taskset:
    """Return the task set of StableToolBench: queries over web APIs.

    Args:
        file: an original file, such as `G1_instruction.json`.
        responses: what answers the calls: "live" (with `server`), "recorded" (with `recordings`)
            or "simulated" (with `simulator`).
        server: the address of a running StableToolBench server, such as
            http://localhost:8080/virtual; its key is read from TOOLBENCH_KEY.
        recordings: a JSON-lines file of responses, read and added to.
        simulator: the model that answers, as `openai:NAME`.
        simulator_url: its OpenAI-compatible endpoint; None for OpenAI's own.
        judge: the model that judges the outcome, as `openai:NAME`; None uses the rule.
        judge_url: its OpenAI-compatible endpoint; None for OpenAI's own.

    Raises:
        ConfigError: options that do not go together.
        InputError: the file or the recordings are unusable.
    """
    if responses == "live" and server is None:
        raise ConfigError(
            "StableToolBench needs something to answer its calls: give server=URL, or"
            " responses=recorded or simulated"
        )
    examples: dict[str, Any] = {}
    live = toolbench_server(server or "")
    backend = choose_backend(responses, live, examples, recordings, simulator, simulator_url)
    facts = {"observations": backend.label}
    verdicts = None
    if judge is not None:
        verdicts = SharedResource(partial(open_endpoint, "judge", judge, judge_url))
        facts |= {"judge": endpoint_model("judge", judge), "judge prompt": PROMPT}

    async def respond(tool: Tool, arguments: dict[str, Any], earlier: Sequence[PastCall]) -> Any:
        if wrong := misuse(tool, arguments):
            raise ToolRefusal(wrong)
        return await backend.respond(tool, arguments, earlier)

    def make(_index: int, row: Row) -> Task:
        apis = named(row.api_list)
        examples.update({api.own_name: api.template_response for api in apis.values()})
        tools = {name: as_tool(name, api) for name, api in apis.items()}
        needed = tuple(dict.fromkeys(_needed(apis, row.relevant)))

        async def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
            score = by_rule(trajectory, needed)
            score.parts |= backend.parts(trajectory)
            return await judged(score, trajectory, verdicts.current) if verdicts else score

        return Task(
            id=f"stabletoolbench/{file.stem}/{row.query_id}",
            query=row.query,
            tools=BackendTools(tuple(tools.values()), respond),
            check=check,
            needed=needed,
            labels={"family": file.stem, "observations": backend.label},
        )

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        async with backend.open(), verdicts.open() if verdicts else nullcontext():
            yield

    rows = read_rows(file, Row, make)
    return rows.taskset("stabletoolbench", limits=LIMITS, facts=facts, resources=resources)


def _needed(apis: Mapping[str, Api], relevant: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the names of the tools of the relevant APIs."""
    pairs = reversed(list(apis.items()))  # of two APIs with one name the first counts
    places = {(standard(api.tool_name), standard(api.api_name)): name for name, api in pairs}
    for index, (tool_name, api_name) in enumerate(relevant):
        place = (standard(tool_name), standard(api_name))
        if place not in places:
            raise RowError(f"relevant APIs.{index}", f"{tool_name} / {api_name} is not in api_list")
        yield places[place]


def by_rule(trajectory: Trajectory, needed: Sequence[str]) -> Score:
    """Score a trajectory without a judge: which relevant APIs answered."""

    def answered(phase: Phase | None) -> float:
        steps = trajectory.calls(phase)
        names = {step.call.name for step in steps if step.call and step.error is None}
        return len(names.intersection(needed)) / len(needed)

    value = answered(Phase.EXECUTION) if trajectory.answer else 0.0
    expected = f"responses of {', '.join(needed)}, and an answer"
    return Score.of(value == 1, expected, value, all_relevant=answered(None) == 1)
