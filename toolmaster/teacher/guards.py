"""Guards of sessions that nobody watches: live tools may only read."""

from __future__ import annotations

from collections.abc import Iterable

from toolmaster.errors import ConfigError
from toolmaster.progress import console
from toolmaster.tasksets import Isolation, Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Effect, ToolCall, TrialMode


class ReadsOnly:
    """Refuses every call that may change something real.

    Args:
        tools: The tools of the sessions. Calls on a session's own copy of a state are allowed.
    """

    def __init__(self, tools: ToolSet) -> None:
        self.tools = tools

    async def permit(self, tool: Tool, call: ToolCall) -> str | None:  # noqa: ARG002 - a guard's form
        """Return None for a call that reads or acts on a copy; otherwise why it was not run."""
        return self.outlook(tool) or None

    def denies(self, tool: Tool) -> None:
        """Deny nothing on a copy."""

    def outlook(self, tool: Tool) -> str:
        """Return why a call of this tool is not run; "" if it is run."""
        copied = self.tools.trial_mode(tool.name) is TrialMode.FORK
        if tool.effect is Effect.READ or copied:
            return ""
        return f"not permitted: {tool.name} may change something real, and only reading is allowed"


def guard_of(task: Task, *, writes: bool) -> ReadsOnly | None:
    """Return the guard for rollouts of a task; None if all its calls may be run.

    Args:
        task: Its tools are fresh for each rollout, copied, or shared with the real world.
        writes: Whether calls that change something real may be run.
    """
    if writes or task.isolation() is not Isolation.SHARED:
        return None
    return ReadsOnly(task.make_tools())


def warn_of_refusals(tasks: Iterable[Task], *, writes: bool) -> None:
    """Print which tools will not be run, before anything is paid for.

    Raises:
        ConfigError: No tool would be run.
    """
    refused: dict[str, None] = {}
    some_run = False
    for task in {id(task.tools): task for task in tasks}.values():
        guard = guard_of(task, writes=writes)
        names = [t.name for t in guard.tools.tools if guard.outlook(t)] if guard else []
        refused.update(dict.fromkeys(names))
        some_run |= guard is None or len(names) < len(guard.tools.tools)
    if not refused:
        return
    words = (
        f"tools that may change something real are not run: {', '.join(refused)}; declare which of"
        " them only read, or give writes=true to run all for real"
    )
    if not some_run:
        raise ConfigError(f"no tool could be run: {words}")
    console.print(words, markup=False, soft_wrap=True)
