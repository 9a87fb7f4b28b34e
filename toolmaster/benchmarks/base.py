"""What a benchmark module gives: a `Benchmark`, which opens a user's file as a `Suite` of `Case`s.

    benchmark = Benchmark("name", open_suite, limits)

    @asynccontextmanager
    async def open_suite(source: Source) -> AsyncIterator[Suite]:
        async with open_sandbox(source) as sandbox:  # what the tools need
            yield read_cases(source.path, Row, lambda index, row: make_case(index, row, sandbox))

A case is a task for the session plus how its trajectories are measured. Cases and their order are a
pure function of the file and the options.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from toolmaster.config import Settings
from toolmaster.limits import Limits
from toolmaster.tasksets import Task
from toolmaster.types import ToolCall, Trajectory

Values = Mapping[str, float | str]
"""What was measured on one trajectory: numbers are averaged over tasks, text (a judge's reason) is
kept beside them. A number that does not apply is left out, never set to 0."""
Measure = Callable[[Trajectory], Values | Awaitable[Values]]
Calls = Sequence[Sequence[ToolCall]]
"""Calls that solve a task, one sequence for each message of the user."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of a file that could not become a case."""

    file: str
    row: int
    """Index of the row in the file, from 0."""
    field: str
    """Path of the field at fault, "" where it is the row as a whole."""
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a benchmark, ready to run.

    Args:
        task: its labels hold "family", the breakdown of the tables. `task.check` gives the score
            whose `success` is the benchmark's main question: was the row solved.
        measure: the named figures of one finished trajectory, official and strict; plain or async.
            Figures that are shares lie in [0, 1].
        needed: names of the tools that a right solution calls, where the benchmark tells.
        gold: a known-good solution, where the benchmark ships one.
        answer: the right answer, for replays; "" where there is none.
    """

    task: Task
    measure: Measure
    needed: tuple[str, ...] = ()
    gold: Calls | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """What a file turned out to hold. Its tools work while the suite is open.

    Args:
        cases: in the order of the rows.
        left_out: the rows that could not become cases.
        facts: what the result depends on beside the settings (a judge's version, the level of
            isolation); kept with the figures.
    """

    cases: Sequence[Case]
    left_out: Sequence[LeftOut] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


class NoOptions(Settings):
    """For benchmarks that have nothing to choose."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a suite is opened from.

    Args:
        path: the user's original file; None when none was given.
        options: an instance of the benchmark's `options`.
        folder: the run folder, for what has to outlive the suite (recordings, a judge's verdicts).
    """

    path: Path | None
    options: Settings
    folder: Path


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark.

    Args:
        name: as on the command line.
        open_suite: opens a source; raises InputError when the file as a whole is unusable.
        limits: what the benchmark's own harness allows; a user can change them.
        options: settings of this benchmark alone, given as `options.KEY=VALUE`.
    """

    name: str
    open_suite: Callable[[Source], AbstractAsyncContextManager[Suite]]
    limits: Limits
    options: type[Settings] = NoOptions
