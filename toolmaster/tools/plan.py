"""What a trial will do with each tool, to be shown before a run."""

from __future__ import annotations

from dataclasses import dataclass

from toolmaster.tools.tool import ToolSet
from toolmaster.types import Effect, TrialMode


@dataclass(frozen=True, slots=True)
class PlannedTool:
    """One row of the plan."""

    tool: str
    source: str
    effect: Effect
    trials: TrialMode

    @property
    def in_trial(self) -> str:
        """What happens to its calls in a trial, in a few words."""
        if self.trials is TrialMode.FORK:
            return "run on a copy"
        if self.trials is TrialMode.LIVE:
            return "run for real"
        return "run: it reads" if self.effect is Effect.READ else "checked, not run"


def trial_plan(tools: ToolSet) -> list[PlannedTool]:
    """How a trial treats each tool, in order."""
    return [
        PlannedTool(tool.name, tool.source, tool.effect, tools.trial_mode(tool.name))
        for tool in tools.tools
    ]
