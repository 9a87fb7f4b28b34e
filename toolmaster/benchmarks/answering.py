"""Options that benchmarks on services share: what answers the calls, who judges the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from toolmaster.benchmarks.base import Measure, Source, Values
from toolmaster.benchmarks.endpoint import Endpoint
from toolmaster.benchmarks.judge import Judge
from toolmaster.benchmarks.recordings import Recordings
from toolmaster.benchmarks.responses import Answerer
from toolmaster.benchmarks.simulator import Simulator
from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError
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
    """What answers.

    Args:
        answerer: answers the calls.
        label: what it is, for the label `observations` of every task.
        harmless: whether calls have no effect outside the session.
    """

    answerer: Answerer
    label: str
    harmless: bool


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
    examples: Mapping[str, Any],
    kept: Recordings | None,
    *,
    label: str,
    harmless: bool,
) -> AsyncIterator[Answering]:
    """Open what answers the calls; on closing, say in one line what it could not answer.

    Args:
        options: which kind.
        folder: the run folder.
        service: answers "live".
        examples: tool name to the form of its response, for a simulator.
        kept: where responses are kept; None keeps none.
        label: what the service is.
        harmless: whether calls of the service have no effect outside the session.

    Raises:
        ConfigError: an option that the kind needs is missing.
        PolicyError: the simulator cannot be asked.
    """
    if options.responses == "live":
        yield Answering(
            kept.recorder(service, label) if kept is not None else service, label, harmless
        )
    elif options.responses == "recorded":
        if kept is None:
            raise ConfigError("recorded responses need options.recordings=FILE")
        yield Answering(kept.player(), "recorded", harmless=True)
        if line := kept.report():
            console.print(line)
    else:
        if options.simulator is None:
            raise ConfigError("simulated responses need options.simulator=MODEL")
        if kept is None:
            kept = Recordings(folder / "simulated.jsonl", folder / MISSES)
        async with Endpoint("simulator", options.simulator, options.simulator_url) as endpoint:
            await endpoint.check()
            simulator = Simulator(endpoint, examples)
            answerer = kept.player(kept.recorder(simulator.answer, simulator.name))
            yield Answering(answerer, simulator.name, harmless=True)


@asynccontextmanager
async def open_judge(options: AnsweringOptions, source: Source) -> AsyncIterator[Judge | None]:
    """Open the judge, if there is to be one; on closing, say in one line what is not judged.

    Raises:
        InputError: its file of verdicts is damaged.
        PolicyError: no key.
    """
    if options.judge is None:
        yield None
        return
    async with Endpoint("judge", options.judge, options.judge_url) as endpoint:
        judge = Judge(endpoint, source.folder / "verdicts.jsonl", options.votes)
        yield judge
        if line := judge.report():
            console.print(line)


def judged(measure: Measure, judge: Judge | None) -> Measure:
    """The measure, and the judge's figures beside it."""
    if judge is None:
        return measure

    async def both(trajectory: Trajectory) -> Values:
        own = measure(trajectory)
        assert isinstance(own, Mapping)  # noqa: S101 - ours are plain
        return {**own, **await judge.values(trajectory)}

    return both
