"""Options that benchmarks on services share: what answers the calls, who judges the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from toolmaster.benchmarks.base import Case, Measure, Values
from toolmaster.benchmarks.judge import Judge
from toolmaster.benchmarks.recordings import Recordings
from toolmaster.benchmarks.responses import Answerer
from toolmaster.benchmarks.simulator import Simulator
from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError
from toolmaster.json_endpoint import JsonEndpoint
from toolmaster.progress import console
from toolmaster.types import Trajectory

MISSES = "misses.jsonl"
"""In the run folder: calls that found no recording."""


class AnsweringOptions(Settings):
    """What answers the calls, and who judges the answers."""

    responses: Literal["live", "recorded", "simulated"] = "live"
    """The service itself, recordings of it (a call without one is a miss), or a language model
    (recordings first, where they are given)."""
    recordings: Path | None = None
    """Where responses are kept: read for "recorded" and "simulated", added to for "live" and
    "simulated"."""
    simulator: str | None = None
    """The model that simulates; its key is read from SIMULATOR_API_KEY or OPENAI_API_KEY."""
    simulator_url: str | None = None
    """Its OpenAI-compatible endpoint; None for OpenAI's own."""
    judge: str | None = None
    """The model that judges answers; None leaves out the figures that need one. Its key is read
    from JUDGE_API_KEY or OPENAI_API_KEY."""
    judge_url: str | None = None
    """Its OpenAI-compatible endpoint; None for OpenAI's own."""
    votes: int = Field(1, ge=1)
    """How often each answer is judged; figures are means."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers the calls, and who judges the answers.

    Args:
        answerer: answers the calls.
        label: what it is, for the label `observations` of every task.
        harmless: whether calls have no effect outside the session.
        judge: who judges; None for nobody.
        facts: what the result depends on; complete once everything is closed.
    """

    answerer: Answerer
    label: str
    harmless: bool
    judge: Judge | None
    facts: dict[str, str]

    def finish(self, case: Case) -> Case:
        """The case, labelled with where its observations come from, and judged."""
        labels = {**case.task.labels, "observations": self.label}
        return replace(
            case,
            task=replace(case.task, labels=labels),
            measure=_judged(case.measure, self.judge) if self.judge else case.measure,
        )


def open_recordings(options: AnsweringOptions, folder: Path) -> Recordings | None:
    """The recordings that the options name.

    Raises:
        InputError: they cannot be used, or are to answer and there are none.
    """
    if options.recordings is None:
        return None
    kept = Recordings(options.recordings, folder / MISSES)
    if options.responses == "recorded" and not kept:
        raise InputError(f"{options.recordings} holds no recordings; record some first")
    return kept


@asynccontextmanager
async def open_answering(
    options: AnsweringOptions,
    folder: Path,
    service: Answerer,
    kept: Recordings | None,
    *,
    label: str,
    harmless: bool,
    examples: Mapping[str, Any] = MappingProxyType({}),
) -> AsyncIterator[Answering]:
    """Open what answers and who judges; on closing, say in a line each what they could not do.

    Args:
        options: which kinds.
        folder: the run folder.
        service: answers "live".
        kept: where responses are kept; None keeps none.
        label: what the service is.
        harmless: whether calls of the service have no effect outside the session.
        examples: tool name to the form of its response, for a simulator.

    Raises:
        ConfigError: an option that the kind needs is missing.
        InputError: the file of verdicts is damaged.
        PolicyError: no key, or the simulator cannot be asked.
    """
    async with AsyncExitStack() as stack:
        judge = None
        if options.judge is not None:
            asked = JsonEndpoint("judge", options.judge, options.judge_url)
            endpoint = await stack.enter_async_context(asked)
            judge = Judge(endpoint, folder / "verdicts.jsonl", options.votes)
        if options.responses == "live":
            answerer = kept.recorder(service, label) if kept is not None else service
        elif options.responses == "recorded":
            if kept is None:
                raise ConfigError("recorded responses need options.recordings=FILE")
            answerer, label, harmless = kept.player(), "recorded", True
        else:
            simulator = await stack.enter_async_context(_open_simulator(options, examples))
            if kept is None:
                kept = Recordings(folder / "simulated.jsonl", folder / MISSES)
            label, harmless = simulator.name, True
            answerer = kept.player(kept.recorder(simulator.answer, label))
        facts = {"observations": label, **(judge.facts if judge else {})}
        yield Answering(answerer, label, harmless, judge, facts)
        if kept is not None and kept.missed:
            facts["calls without a recording"] = str(kept.missed)
            console.print(
                f"{kept.missed} calls have no recording in {kept.file}; see {kept.misses}"
            )
        if judge is not None:
            facts.update(judge.facts)
            if line := judge.report():
                console.print(line)


@asynccontextmanager
async def _open_simulator(
    options: AnsweringOptions, examples: Mapping[str, Any]
) -> AsyncIterator[Simulator]:
    if options.simulator is None:
        raise ConfigError("simulated responses need options.simulator=MODEL")
    async with JsonEndpoint("simulator", options.simulator, options.simulator_url) as endpoint:
        await endpoint.check()
        yield Simulator(endpoint, examples)


def _judged(measure: Measure, judge: Judge) -> Measure:
    """The measure, and the judge's figures beside it."""

    async def both(trajectory: Trajectory) -> Values:
        own = measure(trajectory)
        assert isinstance(own, Mapping)  # noqa: S101 - ours are plain
        return {**own, **await judge.values(trajectory)}

    return both
