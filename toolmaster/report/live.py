"""Shows in the terminal what an agent does, while it does it.

One task is shown turn by turn; many are shown as a bar, with a line for each that ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

from toolmaster.limits import Budget, Use
from toolmaster.progress import Bar
from toolmaster.report.viewer import bounded, box, indented, turns, whole
from toolmaster.system.terminal import visible
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, Step, StopReason, Trajectory, TrialMode

SHOWN_TOOLS = 40
_EFFECT_STYLE = {Effect.READ: "green", Effect.DESTRUCTIVE: "red"}


_IN_TRIAL = {
    TrialMode.FORK: "on a copy",
    TrialMode.READ_ONLY: "not run",
    TrialMode.LIVE: "for real",
}


class OneTask:
    """Shows one task turn by turn.

    Args:
        console: where.
        budget: what is spent, shown with each turn.
    """

    def __init__(self, console: Console, budget: Budget) -> None:
        self._console = console
        self._budget = budget
        self._steps: list[Step] = []
        self._status = Status("", console=console, spinner="dots")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal alone, for a question to the user."""
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()

    def begin(self, task: Task) -> None:
        """Show the task and what is known of its tools from before."""
        self._console.print(box("task", bounded(task.query)))
        if task.experience:
            self._console.print(box("known from before", bounded(task.experience, "yellow")))
        self._wait()
        self._status.start()

    def step(self, task: Task, step: Step) -> None:  # noqa: ARG002 - there is only one
        """Show a turn and its observation."""
        self._steps.append(step)
        for line in turns(self._steps, len(self._steps) - 1, bounded):
            self._console.print(line)
        self._wait()

    def end(self, trajectory: Trajectory) -> None:
        """Show the answer, or why there is none."""
        self._status.stop()
        self._console.print(Rule(style="dim"))
        self._console.print(ending(trajectory))

    def close(self) -> None:
        """Give the terminal back, whatever happened."""
        self._status.stop()

    def _wait(self) -> None:
        self._status.update(Text(f"the model writes; spent: {spent_text(self._budget)}", "dim"))


class ManyTasks:
    """Shows many tasks that run at the same time: a bar, and a line for each that ends.

    Args:
        console: where.
        running: the bar.
        budget: what is spent by all of them, shown beside the bar.
    """

    def __init__(self, console: Console, running: Bar, budget: Budget) -> None:
        self._console = console
        self._running = running
        self._budget = budget

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal alone, for a question to the user."""
        return self._running.paused()

    def begin(self, task: Task) -> None:
        """Nothing to show yet."""

    def step(self, task: Task, step: Step) -> None:  # noqa: ARG002 - the bar is of all tasks
        """Show what is spent."""
        self._running.advance(0, note=spent_text(self._budget))

    def end(self, trajectory: Trajectory) -> None:
        """Show how a task ended."""
        query = Text(visible(trajectory.query), style="bold", no_wrap=True, overflow="ellipsis")
        self._console.print(query)
        self._console.print(indented(ending(trajectory)))
        self._running.advance(note=spent_text(self._budget))


def spent_text(budget: Budget) -> str:
    """What is spent of which bounds, in one line."""
    return ", ".join(map(_spent, budget.uses()))


def _spent(use: Use) -> str:
    of = f" of {use.limit:,g}" if use.limit is not None else ""
    if use.unit == "cost":
        return f"cost {use.used:.4f}{of}"
    return f"{use.used:,.0f}{of} {use.unit}"


def tools_table(tools: ToolSet) -> Table:
    """The tools with where they come from, what they may do, and how their trials run."""
    table = Table(title=f"tools: {len(tools.tools)}", title_justify="left", title_style="bold")
    for column in ("source", "tool", "effect", "in a trial"):
        table.add_column(column, overflow="fold", no_wrap=column == "tool")
    shown = tools.tools[:SHOWN_TOOLS]
    for before, tool in zip((None, *shown), shown, strict=False):
        source = tool.source if before is None or tool.source != before.source else ""
        effect = Text(tool.effect.value, _EFFECT_STYLE.get(tool.effect, "yellow"))
        name, trial = Text(visible(tool.name), "bold"), Text(visible(in_trial(tool, tools)))
        table.add_row(Text(visible(source)), name, effect, trial)
    if len(tools.tools) > SHOWN_TOOLS:
        table.add_row("", Text(f"and {len(tools.tools) - SHOWN_TOOLS} more", "dim"), "", "")
    return table


def in_trial(tool: Tool, tools: ToolSet) -> str:
    """Return what a trial does with the calls of a tool, in a few words."""
    mode = tools.trial_mode(tool.name)
    if mode is TrialMode.READ_ONLY and tool.effect is Effect.READ:
        return "runs"
    return ": ".join(filter(None, (_IN_TRIAL[mode], tool.obstacle)))


def ending(trajectory: Trajectory) -> Text:
    """The answer of a finished task, or why there is none."""
    if trajectory.stop_reason is StopReason.ANSWERED:
        return Text.assemble(("answer  ", "bold green"), visible(trajectory.answer or ""))
    if trajectory.stop_reason is StopReason.GAVE_UP:
        return Text.assemble(("gave up  ", "bold yellow"), visible(trajectory.answer or ""))
    reason = f"no answer: {trajectory.stop_reason}"
    if trajectory.error is not None:
        reason += f": {trajectory.error}"
    return whole(reason, "bold red")
