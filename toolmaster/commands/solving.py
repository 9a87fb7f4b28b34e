"""What `toolmaster solve` does: show what will be used, run, report.

The view is on standard error. Standard output holds the answers alone, a line each in the order of
the tasks; with `--json` one record a task, as soon as it is done:

    task               what was asked
    answer             text, or why it was given up; null where there is none
    stop_reason        "answered", or why not: see `types.StopReason`
    error              what broke, where something did; else null
    experience         what the trial taught; null without one
    trial_calls        calls in the trial
    execution_calls    calls in the execution
    refused            calls of the execution that were not permitted: their number by tool name
    completion_tokens  tokens the model wrote
    seconds            how long it took
    spent              calls, tokens, seconds and cost of all tasks so far: see `limits.Spent`
    trajectory         the file the trajectory was appended to
    task_id, rollout   which of its records it is
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import IntEnum
from pathlib import Path
from typing import Any, TextIO

from toolmaster.agent import Agent
from toolmaster.commands.solve import Solve
from toolmaster.errors import InputError, PermanentPolicyError
from toolmaster.experience import Experience, ExperienceStore, default_path
from toolmaster.limits import Budget
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import check_reachable, open_policy
from toolmaster.progress import bar, messages, say
from toolmaster.protocols import Protocol
from toolmaster.report.live import ManyTasks, OneTask, spent_text, tools_table
from toolmaster.report.viewer import records_table
from toolmaster.runs import read_trajectories
from toolmaster.system.nesting import read_json
from toolmaster.system.terminal import json_line, visible
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.tools.permissions import (
    AllowAll,
    Approver,
    Ask,
    read_rules,
    with_kept_effects,
)
from toolmaster.tools.schemas import check_schema
from toolmaster.tools.sources import open_sources, untried_hint
from toolmaster.types import ErrorKind, Phase, Step, StopReason, Trajectory

STOPPED = 130
"""Exit code after Ctrl-C."""


class Outcome(IntEnum):
    """How a task ended, and its exit code; of many tasks the last one of this list counts."""

    DONE = 0
    """It has an answer, and none of its calls was refused."""
    GAVE_UP = 3
    """The model said that it cannot be done."""
    REFUSED = 4
    """A real call was not permitted."""
    USED_UP = 5
    """The budget, the turns or the context were used up."""
    FAILED = 1
    """The model, a tool or the model's format failed."""

    @classmethod
    def of(cls, trajectory: Trajectory) -> Outcome:
        """Return the outcome of a task."""
        if refused(trajectory):
            return cls.REFUSED
        match trajectory.stop_reason:
            case StopReason.ANSWERED:
                return cls.DONE
            case StopReason.GAVE_UP:
                return cls.GAVE_UP
            case StopReason.BUDGET | StopReason.MAX_TURNS | StopReason.MAX_TOKENS:
                return cls.USED_UP
        return cls.FAILED


def run(settings: Solve, queries: list[str], *, as_json: bool) -> int:
    """Do the tasks and print their answers, or their records; returns the exit code."""
    with _alone() as answers:
        solving = Solving(settings, queries, answers if as_json else None)
        try:
            trajectories = asyncio.run(solving.run())
        except KeyboardInterrupt:
            solving.tell_stopped()
            return STOPPED
        if answers is not None and not as_json:
            for trajectory in trajectories:
                answered = trajectory.stop_reason is StopReason.ANSWERED
                print(visible(trajectory.answer or "") if answered else "", file=answers)
    outcomes = [Outcome.of(trajectory) for trajectory in trajectories]
    return max(outcomes, key=list(Outcome).index, default=Outcome.DONE)


def refused(trajectory: Trajectory) -> Counter[str]:
    """Return how many calls of the execution were not permitted, by the names of their tools."""
    calls = trajectory.calls(Phase.EXECUTION)
    denied = [s.call for s in calls if s.error is ErrorKind.NOT_PERMITTED and s.call is not None]
    return Counter(call.name for call in denied)


@contextmanager
def _alone() -> Iterator[TextIO | None]:
    """Standard output for the answers alone: what tools print there goes to standard error."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started this
        yield None
        return
    # A model can write half a surrogate pair, which UTF-8 cannot hold.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    with answers, redirect_stdout(sys.stderr):
        os.dup2(2, 1)  # for the programs that tools start
        try:
            yield answers
        finally:
            os.dup2(answers.fileno(), 1)


def _never_executed(trajectory: Trajectory) -> bool:
    gave_up = trajectory.stop_reason in (StopReason.INVALID_TURNS, StopReason.MAX_TURNS)
    return gave_up and trajectory.steps[-1].phase is Phase.TRIAL


def _text(given: str) -> str:
    """Return a text, read from its file if it is written as @FILE."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the instructions {given[1:]!r}: {error}") from None


def _schema(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        schema = read_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the schema of answers {str(file)!r}: {error}") from None
    if not isinstance(schema, dict):
        raise InputError(f"{file}: a JSON schema is an object; received {schema!r}")
    check_schema(schema)
    return schema


def _answered(file: Path) -> dict[str, Trajectory]:
    """Return the last answered trajectory of each task in a file."""
    done = (StopReason.ANSWERED, StopReason.GAVE_UP)
    kept = read_trajectories(file) if file.exists() else []
    return {t.query: t for t in kept if t.stop_reason in done}


class Solving:
    """One run of `toolmaster solve`: its budget, its view, and what has ended so far.

    Args:
        settings: How.
        queries: The tasks.
        records: Where a JSON record of each task goes; None for nowhere.
    """

    def __init__(self, settings: Solve, queries: list[str], records: TextIO | None) -> None:
        self.settings = settings
        self.queries = queries
        self.records = records
        self.budget = Budget(settings.budget)
        file = settings.experience
        self.store = None if file == "none" else ExperienceStore(Path(file or default_path()))
        self.rules = None if settings.permissions is None else read_rules(settings.permissions)
        self.instructions = _text(settings.instructions)
        self.schema = _schema(settings.answer_schema)
        self.before = _answered(settings.out) if settings.resume else {}
        """What the file of trajectories already answers, by task."""
        self.console = messages()
        self.ended: list[Trajectory] = []
        self._view: OneTask | ManyTasks = OneTask(self.console, self.budget)

    async def run(self) -> list[Trajectory]:
        """Open the tools, load the model, do the tasks and report."""
        settings = self.settings
        check_reachable(settings.model, settings.base_url, settings.endpoint)
        async with open_sources(settings.tools, trials=settings.trials) as opened:
            tools = with_kept_effects(opened, default_path().with_name("effects.jsonl"))
            if self.rules is not None:
                self.rules.check(tools)
            self._show_plan(tools)
            async with open_policy(
                settings.model,
                settings.sampling,
                base_url=settings.base_url,
                tool_calls=settings.tool_calls,
                endpoint=settings.endpoint,
                seed=settings.seed,
            ) as policy:
                with self._shown() as self._view:
                    done = await self._solve(tools, policy)
        self._report(done)
        return done

    async def _solve(self, tools: ToolSet, policy: Policy) -> list[Trajectory]:
        settings, approver = self.settings, self._approver()
        agent = Agent(
            policy,
            tools,
            protocol=settings.protocol,
            limits=settings.limits,
            approver=approver,
            budget=self.budget,
            experience=Experience(self.store, approver, self.budget) if self.store else None,
            instructions=self.instructions,
            keep=settings.out,
            callbacks=self,
        )
        try:
            new = await agent.arun_all(
                [query for query in self.queries if query not in self.before],
                answer_type=self.schema,
                concurrency=settings.concurrency,
            )
        except PermanentPolicyError:  # told already, with the task that met it
            return self.ended
        each = iter(new)
        return [self.before.get(query) or next(each) for query in self.queries]

    def _approver(self) -> Approver:
        if self.settings.yes:
            return AllowAll()
        approvals = default_path().with_name("approvals.jsonl")
        return Ask(self.rules, pause=self._view.paused, approvals=approvals)

    @contextmanager
    def _shown(self) -> Iterator[OneTask | ManyTasks]:
        if len(self.queries) > 1:
            with bar("solve", len(self.queries), where=self.console) as running:
                yield ManyTasks(self.console, running, self.budget)
            return
        view = OneTask(self.console, self.budget)
        try:
            yield view
        finally:
            view.close()

    def begin(self, task: Task) -> None:
        """Show that a task begins."""
        self._view.begin(task)

    def step(self, task: Task, step: Step) -> None:
        """Show a turn."""
        self._view.step(task, step)

    def end(self, trajectory: Trajectory) -> None:
        """Show and record a task that is over, or was stopped."""
        self.ended.append(trajectory)
        self._view.end(trajectory)
        if self.records is not None:
            print(json_line(self._record(trajectory)), file=self.records, flush=True)

    def tell_stopped(self) -> None:
        """Say what is kept after Ctrl-C."""
        whole = sum(t.stop_reason is not StopReason.STOPPED for t in self.ended)
        kept = f"everything so far is in {self.settings.out}" if self.ended else "none had begun"
        told = f"toolmaster: stopped; {whole} of {len(self.queries)} tasks were finished; {kept}"
        print(told, file=sys.stderr)

    def _say(self, text: str, style: str = "dim") -> None:
        say(text, style, self.console)

    def _show_plan(self, tools: ToolSet) -> None:
        """Show what will be used, before anything is."""
        self.console.print(tools_table(tools))
        hint = untried_hint(tools) if self.settings.protocol is Protocol.TRIAL else None
        if hint is not None:
            self._say(hint, "yellow")
        kept = self.store.path if self.store is not None else "none"
        self._say(f"model {self.settings.model}, experience {kept}")
        self._say(self.budget.left() or "no bounds on calls, tokens, seconds or money")

    def _report(self, done: list[Trajectory]) -> None:
        """Say how the tasks ended, and last of all which option changes what kept them from it."""
        if len(done) > 1:
            self.console.print(records_table(dict(enumerate(done))))
        count = len(self.queries)
        before = sum(query in self.before for query in self.queries)
        if self.before:
            self._say(f"answered before: {before} of {count} tasks")
        left = count - before - len(self.ended)
        if left:
            self._say(f"not begun: {left} of {count} tasks", "bold red")
        self._say(f"spent: {spent_text(self.budget)}")
        self._say(f"kept: toolmaster view {self.settings.out} -1")
        if self.store is not None and any(t.experience or t.retrieved_experience for t in done):
            own = f" --store {self.store.path}" if self.settings.experience else ""
            self._say(f"was it right? toolmaster experience good{own}, or bad")
        if any(map(_never_executed, done)):
            hint = "the model never ended its trial; to go without one: --protocol direct"
            self._say(hint, "bold red")
        total = sum(map(refused, done), Counter[str]())
        if total:
            tools = ", ".join(f"{name} ({number})" for name, number in total.items())
            self._say(
                f"refused, so not run: {tools}; the answer may claim what was not done."
                " --permissions FILE or --yes permits calls",
                "bold red",
            )

    def _record(self, trajectory: Trajectory) -> dict[str, Any]:
        """Return the JSON record of a task; see the module's docstring."""
        return {
            "task": trajectory.query,
            "answer": trajectory.answer,
            "stop_reason": trajectory.stop_reason,
            "error": trajectory.error,
            "experience": trajectory.experience or None,
            "trial_calls": len(trajectory.calls(Phase.TRIAL)),
            "execution_calls": len(trajectory.calls(Phase.EXECUTION)),
            "refused": refused(trajectory),
            "completion_tokens": trajectory.completion_tokens,
            "seconds": round(trajectory.seconds, 3),
            "spent": self.budget.spent().model_dump(),
            "trajectory": str(self.settings.out),
            "task_id": trajectory.task_id,
            "rollout": trajectory.rollout,
        }
