"""StableToolBench: queries over thousands of web APIs that are mostly gone.

Source: Guo et al., "StableToolBench", arXiv 2403.07714; the files `G*.json` in its folder
`solvable_queries/test_instruction` (765 rows). Official metric: the solvable pass rate, which needs
a judge. With one, `value` is the score of its verdict, `success` says that it is "solved", and the
parts `pass_rate` and `pass_rate_strict` (solved, and nothing in the answer was made up) are added.

Without one a rule decides: there is an answer, and all relevant APIs answered in the execution
phase; `value` is the fraction of them that did. Parts by rule: `all_relevant` (they answered, in
any phase), `valid_calls` (fraction of the calls that go to a known tool with all required
parameters and no unknown one) and `valid_calls_strict` (types fit, too).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from toolmaster.errors import ConfigError
from toolmaster.judges.json_endpoint import endpoint_model
from toolmaster.limits import Limits
from toolmaster.tasksets.pass_rate import PROMPT, Judge, open_judge
from toolmaster.tasksets.resource import Held
from toolmaster.tasksets.responses import Answering, Connected, Kind, answering
from toolmaster.tasksets.rows import RowError, read_rows
from toolmaster.tasksets.simulator import Visit
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tasksets.toolbench_apis import Api, as_tool, misuse, named, standard
from toolmaster.tasksets.toolbench_server import cached_responses, toolbench_server
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Phase, Score, Trajectory

LIMITS = Limits(max_turns=20, result_chars=2048)


class Row(BaseModel):
    """A row of the file."""

    query: str = Field(min_length=1)
    query_id: int | str
    api_list: list[Api] = Field(min_length=1)
    relevant: list[tuple[str, str]] = Field(alias="relevant APIs", min_length=1)
    """Tool name and API name of what a solution calls."""


def stabletoolbench(
    file: Path,
    *,
    responses: Kind = "live",
    server: str | None = None,
    cache: Path | None = None,
    recordings: Path | None = None,
    simulator: str | None = None,
    simulator_url: str | None = None,
    judge: str | None = None,
    judge_url: str | None = None,
) -> Taskset:
    """StableToolBench: queries over web APIs, answered by its server, recordings or a model.

    Args:
        file: an original file, such as `G1_instruction.json`.
        responses: who answers the calls: "live" (with `server`), "recorded" (with `cache` or
            `recordings`), "simulated" (with `simulator`) or "examples".
        server: the address of a running StableToolBench server, such as
            http://localhost:8080/virtual; its key is read from TOOLBENCH_KEY.
        cache: the original's folder `tool_response_cache`: its responses count as recorded.
        recordings: a JSON-lines file of responses, read and added to.
        simulator: the model that answers, as `openai:NAME`.
        simulator_url: its OpenAI-compatible endpoint; None for OpenAI's own.
        judge: the model that judges the outcome, as `openai:NAME`; None for the rule.
        judge_url: its OpenAI-compatible endpoint; None for OpenAI's own.

    Raises:
        ConfigError: options that do not go together.
        InputError: the file, the cache or the recordings are unusable.
    """
    if responses == "live" and server is None:
        raise ConfigError(
            "StableToolBench needs something to answer its calls: give server=URL, or"
            " responses=recorded, simulated or examples"
        )
    examples: dict[str, Any] = {}
    who = answering(
        responses,
        toolbench_server(server),
        examples,
        recordings=recordings,
        known=cached_responses(cache) if cache is not None else None,
        simulator=simulator,
        simulator_url=simulator_url,
    )
    facts = {"observations": who.label}
    held = None
    if judge is not None:
        held = Held(lambda: open_judge(judge, judge_url))
        facts |= {"judge": endpoint_model("judge", judge), "judge prompt": PROMPT}

    def make(_index: int, row: Row) -> Task:
        apis = named(row.api_list)
        examples.update({api.own_name: api.template_response for api in apis.values()})
        return _task(file.stem, row, apis, who, held)

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        async with who.open(), held.open() if held is not None else nullcontext():
            yield

    rows = read_rows(file, Row, make)
    return Taskset(
        "stabletoolbench",
        rows.tasks,
        version=rows.version,
        limits=LIMITS,
        left_out=rows.left_out,
        facts=facts,
        resources=resources,
    )


def _task(
    stem: str, row: Row, apis: Mapping[str, Api], who: Answering, judge: Held[Judge] | None
) -> Task:
    """Make a task of a row.

    Args:
        stem: name of the file, which is the group.
        row: query, APIs, and which of them are relevant.
        apis: tool name to API.
        who: answers the calls.
        judge: judges the outcome; None for the rule.

    Raises:
        RowError: a relevant API that the row does not list.
    """
    tools = {name: as_tool(name, api) for name, api in apis.items()}
    rule = _Rule(tools, tuple(dict.fromkeys(_needed(apis, row.relevant))))

    async def answer(tool: Tool, arguments: dict[str, Any], visits: Sequence[Visit]) -> Any:
        wrong = misuse(tool, arguments)
        if wrong is not None:
            raise ToolRefusal(wrong)
        return await who.answer(tool, arguments, visits)

    async def check(trajectory: Trajectory, _tools: ToolSet) -> Score:
        score = rule.score(trajectory)
        score.parts |= who.parts(trajectory)
        return score if judge is None else await _judged(score, trajectory, judge.now)

    return Task(
        id=f"stabletoolbench/{stem}/{row.query_id}",
        query=row.query,
        tools=Connected(tuple(tools.values()), answer),
        check=check,
        needed=rule.needed,
        labels={"family": stem, "observations": who.label},
    )


def _needed(apis: Mapping[str, Api], relevant: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names of the tools of the relevant APIs."""
    for index, pair in enumerate(relevant):
        wanted = tuple(map(standard, pair))
        name = next(
            (n for n, a in apis.items() if (standard(a.tool_name), a.standard_name) == wanted), None
        )
        if name is None:
            raise RowError(f"relevant APIs.{index}", f"{' / '.join(pair)} is not in api_list")
        yield name


@dataclass(frozen=True, slots=True)
class _Rule:
    """What can be said of a trajectory without a judge."""

    tools: Mapping[str, Tool]
    needed: tuple[str, ...]

    def score(self, trajectory: Trajectory) -> Score:
        """Whether the relevant APIs answered, and how many calls fit the documentation."""
        calls = [step.call for step in trajectory.calls() if step.call]
        known = [call for call in calls if call.name in self.tools]
        fit = [call for call in known if misuse(self.tools[call.name], call.arguments) is None]
        strict = [
            call
            for call in fit
            if replace(self.tools[call.name], validated=True).violation(call.arguments) is None
        ]
        parts = {"all_relevant": float(self._answered(trajectory) == 1)}
        if calls:
            parts["valid_calls"] = len(fit) / len(calls)
            parts["valid_calls_strict"] = len(strict) / len(calls)
        value = self._answered(trajectory, Phase.EXECUTION) if trajectory.answer else 0.0
        expected = f"responses of {', '.join(self.needed)}, and an answer"
        return Score.of(value == 1, expected, value, **parts)

    def _answered(self, trajectory: Trajectory, phase: Phase | None = None) -> float:
        """The fraction of the relevant APIs that answered in a phase, or in any."""
        calls = trajectory.calls(phase)
        answered = {step.call.name for step in calls if step.call and step.error is None}
        return len(answered.intersection(self.needed)) / len(self.needed)


async def _judged(score: Score, trajectory: Trajectory, judge: Judge) -> Score:
    """The score by the judge's verdict; without an answer nobody is asked."""
    value, strict, reason = 0.0, False, "no answer"
    if trajectory.answer:
        verdict = await judge.verdict(trajectory)
        value, reason = verdict.score, verdict.reason
        strict = value == 1 and verdict.grounded
    return Score(
        value=value,
        success=value == 1,
        parts={**score.parts, "pass_rate": value, "pass_rate_strict": float(strict)},
        expected="an answer that the judge calls solved",
        reason=reason,
    )
