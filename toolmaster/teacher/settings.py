"""Settings of demonstrations: which are made, by whom, and which of them are kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import ConfigError
from toolmaster.limits import Prices
from toolmaster.policies.base import EndpointSettings, Sampling
from toolmaster.tasksets.replay import REPLAY

CHANGEABLE = (
    *("count", "rollouts", "base_url", "sampling.slots", "filter"),
    *("endpoint.timeout_s", "endpoint.retries", "endpoint.headers"),
    *("judge", "judge_url", "prices", "judge_prices", "max_tokens"),
)
"""Settings that may change when a folder is continued: no rollout depends on them."""


class Behaviours(Settings):
    """Parts of a demonstration; the paper's ablations switch them off."""

    trial: bool = True
    """Try the tools before the experience is written."""
    self_correction: bool = True
    """Show mistakes and how they are corrected; otherwise every call is right at once."""


class DemonstrationSettings(Settings):
    """Which demonstrations are made, by whom, and which of them are kept."""

    count: int | None = Field(None, ge=1)
    """Number of demonstrations to keep: tasks are taken in order until there are that many. If not
    set, every task is taken once."""
    file: Path | None = None
    """File of demonstrations that exist already (a `trajectories.jsonl`); all of them are used."""
    teacher: str | None = None
    """Model that writes the demonstrations: `openai:NAME`, a checkpoint folder or a model id; or
    `replay` for the known-good calls of the tasks, `replay:FILE` for those of a file. If not
    set: the task set's oracle or, if it has none, the known-good calls."""
    base_url: str | None = None
    """Endpoint of the teacher; if not set, `OPENAI_BASE_URL` or OpenAI's own."""
    endpoint: EndpointSettings | None = None
    """Settings of the requests to the teacher."""
    sampling: Sampling = Sampling(temperature=0.7, turn_tokens=1024, context_tokens=16384, slots=16)
    """How the teacher generates; `slots` is the number of rollouts in flight."""
    rollouts: int = Field(1, ge=1)
    """Number of times a teacher does each task. With 2 or more, a task that nothing scores is kept
    only if all its answers agree."""
    writes: bool = False
    """Run calls that change something real; otherwise live tools only read."""
    behaviours: Behaviours = Behaviours()
    known_share: float = Field(0.1, ge=0.0, le=1.0)
    """Fraction of the embedded world's demonstrations that start with experience of the same tools
    and skip the trial."""
    filter: bool = True
    """Keep only demonstrations of a teacher model that have planning, exploration and validation
    (the paper's filter)."""
    judge: str | None = None
    """Model that judges what passes the filter's rules: `openai:NAME`. If not set, the rules alone
    decide."""
    judge_url: str | None = None
    """Endpoint of the judge; if not set, `OPENAI_BASE_URL` or OpenAI's own."""
    prices: Prices | None = None
    """Price of a million tokens that the teacher reads, and of a million that it writes."""
    judge_prices: Prices | None = None
    """Prices of the judge, likewise; if not set, the teacher's."""
    max_tokens: int | None = Field(None, ge=1)
    """The most tokens that the teacher and the judge read and write, those of earlier calls in this
    folder included. The collecting then ends; what is made is kept, and a larger bound goes on."""

    @property
    def is_model(self) -> bool:
        """Whether a model is the teacher."""
        return self.teacher is not None and self.teacher.partition(":")[0] != REPLAY

    def check(self) -> None:
        """Refuse settings that would have no effect.

        Raises:
            ConfigError: A judge without the filter, or several rollouts without a teacher model.
        """
        if self.judge is not None and not self.filter:
            raise ConfigError("the judge is part of the filter: leave out judge, or filter=false")
        if not self.is_model and self.rollouts > 1:
            raise ConfigError(
                f"rollouts={self.rollouts} needs a teacher model: an oracle and known-good calls"
                " show the same each time; leave it out, or give teacher=openai:NAME"
            )
