"""What `toolmaster solve` does: check everything, show what will be used, run, report.

With `--json` standard output holds one record a task and nothing else:

    task               what was asked
    answer             text; null where there is none
    stop_reason        "answered", or why not: see `types.StopReason`
    error              what broke, where something did; else null
    experience         what the trial taught; null without one
    trial_calls        calls in the trial
    execution_calls    calls in the execution
    completion_tokens  tokens the model wrote
    seconds            how long it took
    spent              calls, tokens, seconds and cost of all tasks so far: see `budgets.Spent`
    trajectory         the file the trajectory was appended to
    task_id, rollout   which of its records it is
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from toolmaster.agent import Agent, Callbacks
from toolmaster.budgets import Budget
from toolmaster.commands.solve_settings import SolveSettings, check_writable, read_tasks
from toolmaster.errors import ConfigError, PermanentPolicyError
from toolmaster.experience import Experience, ExperienceStore, default_path
from toolmaster.permissions import AllowAll, Approver, Ask, read_rules
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import open_policy
from toolmaster.progress import bar
from toolmaster.protocols import Protocol, parse
from toolmaster.report.live import ManyTasks, OneTask, spent_text, tools_table
from toolmaster.report.viewer import records_table
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.tools.sources import open_sources
from toolmaster.types import ActionKind, Phase, Step, StopReason, Trajectory

ANSWERED, NOT_ANSWERED, STOPPED = 0, 1, 130
"""Exit codes."""


def run_solve(settings: SolveSettings, task: str | None) -> int:
    """Do the task, or those of the file.

    Returns:
        The exit code: 0 where every task was answered, 1 where not, 130 after Ctrl-C.

    Raises:
        ConfigError: no task, or settings that cannot be accepted.
        InputError: a file, the tools or the model cannot be used.
        PolicyError: an endpoint without a key.
    """
    queries = read_tasks(settings.tasks) if settings.tasks is not None else [task or ""]
    if not queries[0].strip():
        raise ConfigError("no task: give it in quotes, or a file with --tasks")
    check_writable(settings.out)
    with _alone() if settings.as_json else nullcontext() as records:
        solving = Solving(settings, queries, records)
        try:
            trajectories = asyncio.run(solving.run())
        except KeyboardInterrupt:
            solving.tell_stopped()
            return STOPPED
    answered = all(t.stop_reason is StopReason.ANSWERED for t in trajectories)
    return ANSWERED if answered else NOT_ANSWERED


@contextmanager
def _alone() -> Iterator[TextIO | None]:
    """Standard output for the records alone: what tools print there goes to standard error."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started this
        yield None
        return
    # A model can write half a surrogate pair, which UTF-8 cannot hold.
    records = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    with records, redirect_stdout(sys.stderr):
        os.dup2(2, 1)  # for the programs that tools start
        try:
            yield records
        finally:
            os.dup2(records.fileno(), 1)


def _open_store(file: str | None) -> ExperienceStore | None:
    if file == "none":
        return None
    return ExperienceStore(Path(file) if file is not None else default_path())


class Solving:
    """One run of `toolmaster solve`: its budget, its terminal, and what has ended so far.

    Args:
        settings: how.
        queries: what is to be done.
        records: where a JSON record of each task goes; None for none.
    """

    def __init__(self, settings: SolveSettings, queries: list[str], records: TextIO | None) -> None:
        self.settings = settings
        self.queries = queries
        self.records = records
        self.budget = Budget(settings.budget)
        self.store = _open_store(settings.experience)
        rules = settings.permissions
        self.permissions = None if rules is None else read_rules(rules)
        self.console = Console(stderr=settings.as_json)
        self.ended: list[Trajectory] = []
        self._view: Callbacks | None = None

    async def run(self) -> list[Trajectory]:
        """Open the tools, load the model, do the tasks and report."""
        settings = self.settings
        async with open_sources(settings.tools, trials=settings.trials) as tools:
            if self.permissions is not None:
                self.permissions.check(tools)
            self._show_plan(tools)
            async with open_policy(
                settings.model,
                settings.sampling,
                base_url=settings.base_url,
                tool_calls=settings.tool_calls,
                seed=settings.seed,
            ) as policy:
                with self._terminal() as view:
                    trajectories = await self._solve(policy, tools, view)
        if len(trajectories) > 1:
            self.console.print(records_table(dict(enumerate(trajectories))))
        self._tell_where()
        return trajectories

    async def _solve(
        self, policy: Policy, tools: ToolSet, view: OneTask | ManyTasks
    ) -> list[Trajectory]:
        self._view = view
        approver = self._approver(view)
        experience = None
        if self.store is not None:
            experience = Experience(self.store, approver, self.budget)
        agent = Agent(
            policy,
            tools,
            protocol=self.settings.protocol,
            limits=self.settings.limits,
            approver=approver,
            budget=self.budget,
            experience=experience,
            keep=self.settings.out,
            callbacks=self,
        )
        try:
            return await agent.arun_all(self.queries, concurrency=self.settings.concurrency)
        except PermanentPolicyError:  # told already, with the task that met it
            return self.ended

    def _approver(self, view: OneTask | ManyTasks) -> Approver:
        """Who decides what may be run for real."""
        return AllowAll() if self.settings.yes else Ask(self.permissions, pause=view.paused)

    def begin(self, task: Task) -> None:
        """A task begins."""
        if self._view is not None:
            self._view.begin(task)

    def step(self, task: Task, step: Step) -> None:
        """A turn was taken."""
        if self._view is not None:
            self._view.step(task, step)

    def end(self, trajectory: Trajectory) -> None:
        """A task is over, or was stopped."""
        self.ended.append(trajectory)
        if self._view is not None:
            self._view.end(trajectory)
        if self.records is not None:
            record = json.dumps(self._record(trajectory), ensure_ascii=False)
            print(record, file=self.records, flush=True)

    def tell_stopped(self) -> None:
        """Say what is kept after Ctrl-C."""
        whole = sum(t.stop_reason is not StopReason.STOPPED for t in self.ended)
        kept = f"everything so far is in {self.settings.out}" if self.ended else "none had begun"
        told = f"toolmaster: stopped; {whole} of {len(self.queries)} tasks were finished; {kept}"
        print(told, file=sys.stderr)

    def _show_plan(self, tools: ToolSet) -> None:
        """What will be used, before anything is."""
        self.console.print(tools_table(tools))
        kept = self.store.path if self.store is not None else "none"
        told = f"model {self.settings.model}, experience {kept}"
        self.console.print(told, style="dim", markup=False, soft_wrap=True)
        bounds = self.budget.left() or "no bounds on calls, tokens, seconds or money"
        self.console.print(bounds, style="dim", markup=False)

    @contextmanager
    def _terminal(self) -> Iterator[OneTask | ManyTasks]:
        if len(self.queries) > 1:
            with bar("solve", len(self.queries), where=self.console) as running:
                yield ManyTasks(self.console, running, self.budget)
            return
        view = OneTask(self.console, self.budget)
        try:
            yield view
        finally:
            view.close()

    def _tell_where(self) -> None:
        out, left = self.settings.out, len(self.queries) - len(self.ended)
        if left:
            told = f"not begun: {left} of {len(self.queries)} tasks"
            self.console.print(told, style="bold red", markup=False)
        self.console.print(f"spent: {spent_text(self.budget)}", style="dim", markup=False)
        self.console.print(
            f"kept: toolmaster view {out} -1", style="dim", markup=False, soft_wrap=True
        )

    def _record(self, trajectory: Trajectory) -> dict[str, Any]:
        """The JSON record of a task; see the module's docstring."""
        learned = [s for s in trajectory.steps if s.action is ActionKind.EXPERIENCE]
        return {
            "task": trajectory.query,
            "answer": trajectory.answer,
            "stop_reason": trajectory.stop_reason,
            "error": trajectory.error,
            "experience": parse(learned[-1].text, Protocol.TRIAL).text if learned else None,
            "trial_calls": len(trajectory.calls(Phase.TRIAL)),
            "execution_calls": len(trajectory.calls(Phase.EXECUTION)),
            "completion_tokens": trajectory.completion_tokens,
            "seconds": round(trajectory.seconds, 3),
            "spent": self.budget.spent().model_dump(),
            "trajectory": str(self.settings.out),
            "task_id": trajectory.task_id,
            "rollout": trajectory.rollout,
        }
