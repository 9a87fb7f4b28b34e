"""`toolmaster evaluate MODEL TASKSET` and `toolmaster compare A B`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console

from toolmaster.config import Settings, load_config
from toolmaster.evaluation.comparison import compare
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.limits import Limits
from toolmaster.policies.base import RoomySampling, ToolCallFormat
from toolmaster.progress import bar, console, solved_counter
from toolmaster.protocols import Protocol
from toolmaster.runs import Run, read_trajectories
from toolmaster.tasksets import taskset
from toolmaster.tasksets.taskset import TEST

FREE = ("rollouts", "sampling.slots")
"""What may change from one start of an evaluation to the next."""


class EvaluationSettings(Settings):
    """One model on one task set."""

    model: str
    """A checkpoint folder, a model id of the Hub, `openai:NAME`, `replay` or `replay:FILE`."""
    tasks: str
    """The task set, in one line."""
    out: Path | None = None
    """Where trajectories are kept; None for a file under runs/evaluate."""
    rollouts: int = Field(1, ge=1)
    """How often each task is run."""
    base_url: str | None = None
    """The endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`."""
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO
    """How tool calls are written to an endpoint; "trained" for a model trained here."""
    protocol: Protocol = Protocol.TRIAL
    limits: Limits | None = None
    """What a session allows; None for what the task set says."""
    sampling: RoomySampling = RoomySampling()
    seed: int = Field(0, ge=0)
    """Of the sampling of a model in this process."""


def run_evaluate(
    model: str,
    tasks: str,
    given: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Measure a model and print what came out.

    Args:
        model: as the settings take it.
        tasks: the task set, in one line.
        given: settings that options have set; None for those not given.
        overrides: settings `key=value`.
        as_json: print one JSON object in place of the table.

    Raises:
        ToolmasterError: settings, model, tasks or file cannot be used.
    """
    values = {"model": model, "tasks": tasks, **{k: v for k, v in given.items() if v is not None}}
    settings = load_config(EvaluationSettings, None, overrides, values)
    chosen = taskset(settings.tasks, default=TEST).for_evaluation()
    out = settings.out
    if out is None:
        folder = Path("runs/evaluate") / _slug(f"{model} {chosen.name} {chosen.part}")
        Run(folder, settings, may_change=FREE, facts={"taskset": chosen.label})
        out = folder / "trajectories.jsonl"
    for row in chosen.left_out[:5]:
        console.print(f"left out: {row.file}, row {row.row}: {row.reason}", style="yellow")
    held = len(read_trajectories(out)) if out.is_file() else 0
    out.parent.mkdir(parents=True, exist_ok=True)
    total = len(chosen) * settings.rollouts
    where = Console(stderr=True) if as_json else console
    with bar("evaluate", total, min(held, total), where) as running:
        result = evaluate(
            settings.model,
            chosen,
            rollouts=settings.rollouts,
            out=out,
            protocol=settings.protocol,
            limits=settings.limits,
            sampling=settings.sampling,
            on_finish=solved_counter(running),
            **_model_options(settings),
        )
    if as_json:
        print(json.dumps(result.record()))
        return
    console.print(result)
    console.print(f"kept: toolmaster view {out}", style="dim", markup=False, soft_wrap=True)


def _model_options(settings: EvaluationSettings) -> dict[str, Any]:
    return {
        "base_url": settings.base_url,
        "tool_calls": settings.tool_calls,
        "seed": settings.seed,
    }


def run_compare(a: Path, b: Path, *, as_json: bool) -> None:
    """Compare two files of trajectories and print what came out.

    Raises:
        InputError: a file cannot be read, or they share no task.
    """
    comparison = compare(a, b)
    if as_json:
        print(json.dumps(comparison.record()))
    else:
        console.print(comparison)


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")
