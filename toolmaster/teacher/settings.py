"""Settings of teachers: what they show, and of runs that collect it from the oracle or a model."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling
from toolmaster.protocols import Protocol
from toolmaster.types import TrialMode

SOLUTIONS = 3
"""Independent solutions that must agree on a proposed task, where nothing else is said."""
FREE = (
    *("base_url", "sampling.slots", "count", "propose", "rollouts"),
    *("filter", "judge", "judge_url", "prices", "judge_prices"),
)
"""What may change from one start of a run to the next: nothing that a rollout depends on."""


class Behaviours(Settings):
    """What the teacher shows; the paper's ablations switch parts off."""

    trial: bool = True
    """Try tools before the experience."""
    self_correction: bool = True
    """Make plausible mistakes and slips and mend them; without it every call is right at once."""


class SynthesizeSettings(Settings):
    """How many demonstrations, and what they show."""

    demonstrations: int = Field(400, ge=1)
    """How many to keep."""
    filter: bool = True
    """Keep only those with planning, exploration and validation (the paper's filter)."""
    behaviours: Behaviours = Behaviours()
    known_share: float = Field(0.1, ge=0.0, le=1.0)
    """Share of those whose tools were tried for another task: its experience is handed with the
    task. Twice as large where it must be applied to values or names, which is what is hard."""
    file: Path | None = None
    """Demonstrations made before, a `trajectories.jsonl` such as `toolmaster teach` leaves; all are
    taken. None lets the oracle make them."""


class TeachSettings(Settings):
    """What a teacher model shows, and on what."""

    run: Path = Path("runs/teach")
    """Where everything it makes goes."""
    model: str
    """The teacher: `openai:NAME` for an OpenAI-compatible endpoint."""
    base_url: str | None = None
    """Its endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`."""
    tools: tuple[str, ...] = ()
    """Where tools come from: Python modules, MCP files, OpenAPI documents. None: embedded world."""
    trials: TrialMode | None = None
    """How trials of these tools run; None for the safe way of each source."""
    writes: bool = False
    """Whether calls that may change something real are run; without, only those that read."""
    tasks: Path | None = None
    """A JSON-lines file of tasks for the tools: query and, where known, answer."""
    propose: int | None = Field(None, ge=1)
    """Without tasks: how many are proposed, by the same endpoint."""
    count: int | None = Field(None, ge=1)
    """Tasks of the embedded world, or the first so many of the file; None for the whole file."""
    rollouts: int = Field(1, ge=1)
    """Times each task is done; for proposed tasks the solutions that must agree."""
    world: str = "world"
    """A task set whose tasks are taught where no tools are given."""
    seed: int = Field(0, ge=0)
    """Of the embedded world's tasks: other seeds, other tasks."""
    protocol: Protocol = Protocol.TRIAL
    limits: Limits = Limits(max_turns=20)
    sampling: Sampling = Sampling(temperature=0.7, turn_tokens=1024, context_tokens=16384, slots=16)
    """Of the teacher; `slots` rollouts are in flight."""
    behaviours: Behaviours = Behaviours()
    filter: bool = True
    """Whether a demonstration must show planning, exploration and validation."""
    judge: str | None = None
    """A model that judges what the rules let through; None for the rules alone."""
    judge_url: str | None = None
    """Its endpoint; None for OpenAI's own, or `OPENAI_BASE_URL`."""
    prices: tuple[float, float] | None = None
    """Money for a million tokens that the teacher reads, and for a million that it writes."""
    judge_prices: tuple[float, float] | None = None
    """The judge's; None for the teacher's."""

    def check(self, *, has_tools: bool) -> None:
        """Hold what belongs together against each other.

        Raises:
            ConfigError: no tasks, two sources of them, or a setting that would do nothing.
        """
        if not has_tools:
            if self.tasks is not None or self.propose is not None:
                raise ConfigError("tasks and proposals are for tools of yours: give --tools SPEC")
            if self.count is None:
                raise ConfigError(
                    "say how many tasks of the embedded world: count=100; or give --tools SPEC with"
                    " --tasks FILE or --propose N"
                )
        elif (self.tasks is None) == (self.propose is None):
            raise ConfigError("for your tools give either --tasks FILE or --propose N")
        if self.propose is not None and self.rollouts < 2:
            raise ConfigError(
                f"proposed tasks are checked by solutions that agree: rollouts={self.rollouts} is"
                f" too few; give 2 or more, for example rollouts={SOLUTIONS}"
            )
        if self.propose is not None and not self.model.startswith("openai:"):
            raise ConfigError(
                f"only an endpoint can propose tasks, got model {self.model!r}; give openai:NAME,"
                " or --tasks FILE"
            )
        if self.judge is not None and not self.filter:
            raise ConfigError("the judge is part of the filter: leave out --judge, or filter=false")
