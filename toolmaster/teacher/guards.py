"""The approver of unattended sessions: live tools may only read."""

from __future__ import annotations

from collections.abc import Iterable

from toolmaster.errors import ConfigError
from toolmaster.progress import console
from toolmaster.tasksets import Isolation, Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Decision, Effect, ToolCall, TrialMode


class ReadsOnly:
    """An approver that refuses every call that may change something real.

    Args:
        tools: The tools of the sessions. Calls on a session's own copy of the state are allowed.
    """

    def __init__(self, tools: ToolSet) -> None:
        self.tools = tools

    async def approve(self, tool: Tool, call: ToolCall) -> str | None:  # noqa: ARG002 - an approver
        """Return None for a call that reads or acts on a copy, else the reason against it."""
        return self.decide(tool)[1] or None

    def refused(self) -> list[str]:
        """Return the names of the tools that never run."""
        return [tool.name for tool in self.tools.tools if self.decide(tool)[0] is Decision.DENY]

    def decide(self, tool: Tool) -> tuple[Decision, str]:
        """Return whether calls of a tool run, and if not, why."""
        copied = self.tools.trial_mode(tool.name) is TrialMode.FORK
        if tool.effect is Effect.READ or copied:
            return Decision.ALLOW, ""
        reason = f"{tool.name} may change something real, and only reading is allowed"
        return Decision.DENY, reason


def approver_for(task: Task, *, writes: bool) -> ReadsOnly | None:
    """Return the approver for rollouts of a task; None if all its calls may run.

    Args:
        task: The task, whose tools may be shared with the real world.
        writes: Whether calls that change something real may run.
    """
    if writes or task.isolation() is not Isolation.SHARED:
        return None
    return ReadsOnly(task.make_tools())


def warn_of_refusals(tasks: Iterable[Task], *, writes: bool) -> None:
    """Print which tools will not run, before money is spent.

    Raises:
        ConfigError: No tool would run.
    """
    refused: dict[str, None] = {}
    some_run = False
    for task in {id(task.tools): task for task in tasks}.values():
        approver = approver_for(task, writes=writes)
        names = [] if approver is None else approver.refused()
        refused.update(dict.fromkeys(names))
        some_run |= approver is None or len(names) < len(approver.tools.tools)
    if not refused:
        return
    words = (
        f"tools that may change something real are not run: {', '.join(refused)}; declare which of"
        " them only read, or give writes=true to run all for real"
    )
    if not some_run:
        raise ConfigError(f"no tool could be run: {words}")
    console.print(words, markup=False, soft_wrap=True)
