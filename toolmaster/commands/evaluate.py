"""`toolmaster evaluate MODEL TASKSET` and `toolmaster compare A B`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from toolmaster.config import Settings, load_config
from toolmaster.evaluation.comparison import compare
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.limits import Limits
from toolmaster.policies.base import RoomySampling, ToolCallFormat
from toolmaster.progress import console
from toolmaster.protocols import Protocol
from toolmaster.provenance import took
from toolmaster.report.page import Page, write_report
from toolmaster.report.viewer import decoder
from toolmaster.tasksets import taskset
from toolmaster.tasksets.taskset import TEST


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
    """Measure a model, print what came out, and write a page about it beside the trajectories.

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
    slug = re.sub(r"[^\w.-]+", "-", f"{model} {chosen.name} {chosen.part}").strip("-")
    out = settings.out or Path("runs/evaluate") / slug / "trajectories.jsonl"
    for row in chosen.left_out[:5]:
        console.print(f"left out: {row.file}, row {row.row}: {row.reason}", style="yellow")
    started = time.perf_counter()
    result = evaluate(
        settings.model,
        chosen,
        rollouts=settings.rollouts,
        out=out,
        protocol=settings.protocol,
        limits=settings.limits,
        sampling=settings.sampling,
        base_url=settings.base_url,
        tool_calls=settings.tool_calls,
        seed=settings.seed,
    )
    page = out.with_suffix(".html")
    _write_page(page, settings, result, took(time.perf_counter() - started))
    if as_json:
        print(json.dumps(result.record()))
        return
    console.print(result)
    told = f"kept: toolmaster view {out}\nreport: {page}"
    console.print(told, style="dim", markup=False, soft_wrap=True)


def _write_page(path: Path, settings: EvaluationSettings, result: Evaluation, seconds: str) -> None:
    """Write the report of one model beside its trajectories."""
    made = {
        "model": settings.model,
        "task set": settings.tasks,
        "seed": str(settings.seed),
        **{key: value for key, value in result.facts.items() if key != "taskset"},
        "time taken": f"{seconds} since it was last started",
    }
    decoders = {}
    if any(step.token_ids for t in result.trajectories for step in t.steps):
        decoders = {result.model: decoder(settings.model)}
    title = f"{settings.model} on {settings.tasks}"
    page = Page(title, [result], made, settings.model_dump(mode="json"), decoders=decoders)
    write_report(path, page)


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
