"""Settings of one evaluation on a benchmark, spelt like a recipe's: `key=value`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from toolmaster.benchmarks import find_benchmark
from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError
from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling, Spelling
from toolmaster.protocols import Protocol

SAMPLING = Sampling(turn_tokens=512, context_tokens=8192, slots=8)
"""Room for documents of real tools."""


class BenchmarkSettings(Settings):
    """One model on one benchmark."""

    benchmark: str
    run: Path
    """Where everything it makes goes."""
    data: Path | None = None
    """The benchmark's original file."""
    model: str | None = None
    """A name that `models.find_model` takes, or `openai:NAME` for an OpenAI-compatible endpoint."""
    base_url: str | None = None
    """The endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`."""
    spelling: Spelling = Spelling.AUTO
    """How the protocol is spoken with an endpoint; "trained" for a model trained here."""
    replay: str | None = None
    """Instead of a model: a replay file, or "gold"; see `benchmarks.replay`."""
    tasks: int | None = Field(None, ge=1)
    """The first so many rows; None for all."""
    seed: int = Field(0, ge=0)
    protocol: Protocol = Protocol.TRIAL
    limits: Limits
    """The benchmark's own, where nothing else is said."""
    sampling: Sampling = SAMPLING
    training: Path | None = None
    """A trajectories.jsonl of training, whose tools the benchmark's tools are compared with."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of this benchmark alone."""


def settings_for(name: str, overrides: Sequence[str]) -> BenchmarkSettings:
    """The settings of a run: the benchmark's limits, then the overrides `key=value`.

    Raises:
        ConfigError: no such benchmark, a wrong key or value, not one of model and replay.
    """
    benchmark = find_benchmark(name)
    usual = [f"limits.{key}={value}" for key, value in benchmark.limits]
    given = [f"benchmark={name}", f"run=runs/{name}", *usual, *overrides]
    settings = load_config(BenchmarkSettings, None, given)
    if (settings.model is None) == (settings.replay is None):
        raise ConfigError("give either --model MODEL or --replay FILE")
    return settings
