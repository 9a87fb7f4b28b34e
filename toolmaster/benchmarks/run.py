"""Running a benchmark: open it, roll out what is missing, measure, and write tables and report.

The run folder holds `config.json`, `trajectories.jsonl` (raw predictions, appended one by one, so
that a stopped run continues), `results.jsonl` (what was measured on each), `left_out.jsonl`,
`figures.json` and `report.html`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Benchmark, Case, LeftOut, Source
from toolmaster.benchmarks.figures import (
    Measured,
    figures,
    figures_grid,
    general_values,
    left_out_grid,
)
from toolmaster.benchmarks.replay import GOLD, gold_replays, policies, read_replays
from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.evaluation.evaluate import collect
from toolmaster.evaluation.tables import render
from toolmaster.policies.base import Policy, Sampling
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.progress import bar, console
from toolmaster.protocols import Protocol
from toolmaster.report.page import write_report
from toolmaster.rollouts import RolloutRequest
from toolmaster.runs import Run, write_atomically
from toolmaster.session import Limits
from toolmaster.types import Trajectory


class BenchmarkSettings(Settings):
    """One model on one benchmark."""

    benchmark: str
    run: Path
    """Where everything it makes goes."""
    data: Path | None = None
    """The benchmark's original file."""
    model: str | None = None
    """`hf:FOLDER` or a checkpoint folder, or `openai:NAME` for an OpenAI-compatible endpoint."""
    base_url: str | None = None
    """The endpoint of an `openai:` model; None for OpenAI's own, or `OPENAI_BASE_URL`."""
    replay: str | None = None
    """Instead of a model: a replay file, or "gold"; see `benchmarks.replay`."""
    tasks: int | None = Field(None, ge=1)
    """The first so many rows; None for all."""
    seed: int = Field(0, ge=0)
    protocol: Protocol = Protocol.TRIAL
    limits: Limits = Limits()
    """The benchmark's own, where nothing else is said."""
    sampling: Sampling = Sampling(turn_tokens=512, context_tokens=8192, slots=8)
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of this benchmark alone."""


def settings_for(name: str, overrides: Sequence[str]) -> BenchmarkSettings:
    """The settings of a run: the benchmark's limits, then the overrides `key=value`.

    Raises:
        ConfigError: no such benchmark, a wrong key or value, not one of model and replay.
    """
    benchmark = find_benchmark(name)
    limits = [f"limits.{key}={value}" for key, value in benchmark.limits]
    given = [f"benchmark={name}", f"run=runs/{name}", *limits, *overrides]
    settings = load_config(BenchmarkSettings, None, given)
    if (settings.model is None) == (settings.replay is None):
        raise ConfigError("give either --model MODEL or --replay FILE")
    return settings


def evaluate_benchmark(settings: BenchmarkSettings) -> Path:
    """Run a benchmark to its end, from wherever an earlier run of it was stopped.

    Returns:
        The path of the report.

    Raises:
        ConfigError: settings that cannot be accepted, or other ones than the folder's.
        InputError: the data, the replay or the checkpoint cannot be used.
        PolicyError: the policy could answer nothing at all.
    """
    benchmark = find_benchmark(settings.benchmark)
    chosen = [f"{key}={json.dumps(value)}" for key, value in settings.options.items()]
    options = load_config(benchmark.options, None, chosen)
    policy = _policy(settings)
    run = Run(settings.run, settings)
    source = Source(settings.data, options, run.folder)
    measured, left_out = asyncio.run(_measure(benchmark, source, settings, policy, run))
    return _report(settings, run, measured, left_out)


async def _measure(
    benchmark: Benchmark, source: Source, settings: BenchmarkSettings, policy: Policy, run: Run
) -> tuple[list[Measured], Sequence[LeftOut]]:
    async with benchmark.open_suite(source) as suite:
        lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in suite.left_out]
        write_atomically(run.folder / "left_out.jsonl", "".join(lines))
        cases = {case.task.id: case for case in suite.cases[: settings.tasks]}
        acting: dict[str, ScriptedPolicy] = {}
        if settings.replay is not None:
            acting = _replays(settings, list(cases.values()))
            cases = {task_id: case for task_id, case in cases.items() if task_id in acting}
        if not cases:
            raise InputError(_nothing(settings, suite.left_out))
        trajectories = await _roll_out(cases, acting, settings, policy, run)
        broken = [t for t in trajectories if t.error is not None]
        if len(broken) == len(trajectories):
            raise PolicyError(f"all {len(broken)} rollouts broke; the first: {broken[0].error}")
        measured = [Measured(t, await _values(cases[t.task_id], t)) for t in trajectories]
    return measured, suite.left_out


async def _roll_out(
    cases: dict[str, Case],
    acting: dict[str, ScriptedPolicy],
    settings: BenchmarkSettings,
    policy: Policy,
    run: Run,
) -> list[Trajectory]:
    won = 0
    with bar(settings.benchmark, len(cases)) as running:

        def show(trajectory: Trajectory) -> None:
            nonlocal won
            won += trajectory.success
            running.advance(note=f"{won} solved")

        return await collect(
            list(cases),
            lambda task_id: RolloutRequest(cases[task_id].task, policy=acting.get(task_id)),
            policy,
            settings.protocol,
            settings.limits,
            run.folder / "trajectories.jsonl",
            concurrency=settings.sampling.slots,
            on_finish=show,
        )


def _replays(settings: BenchmarkSettings, cases: list[Case]) -> dict[str, ScriptedPolicy]:
    assert settings.replay is not None  # noqa: S101 - the caller has looked
    gold = settings.replay == GOLD
    replays = gold_replays(cases) if gold else read_replays(Path(settings.replay))
    return policies(cases, replays, settings.protocol)


def _nothing(settings: BenchmarkSettings, left_out: Sequence[LeftOut]) -> str:
    """Why there is nothing to run."""
    if settings.replay is not None:
        return f"the replay {settings.replay!r} has calls for none of the tasks"
    if not left_out:
        return f"{settings.data} holds no rows"
    first = left_out[0]
    where = f"{first.file}, row {first.row}" + (f", {first.field}" if first.field else "")
    return f"none of {len(left_out)} rows could be loaded; the first: {where}: {first.reason}"


async def _values(case: Case, trajectory: Trajectory) -> dict[str, float | str]:
    own = case.measure(trajectory)
    return {**general_values(case, trajectory), **(await own if inspect.isawaitable(own) else own)}


def _policy(settings: BenchmarkSettings) -> Policy:
    """Who acts."""
    if settings.model is None:
        return ScriptedPolicy((), "replay")
    kind, _, name = settings.model.partition(":")
    if kind == "openai":
        from toolmaster.policies.openai import OpenAIPolicy  # noqa: PLC0415 - heavy

        return OpenAIPolicy(name, settings.sampling, base_url=settings.base_url)
    from toolmaster.models import find_model, load_model, load_tokenizer  # noqa: PLC0415

    folder = find_model(settings.model.removeprefix("hf:"))
    from toolmaster.chat import ChatFormat  # noqa: PLC0415 - loads torch
    from toolmaster.policies.compiled import compile_blocks  # noqa: PLC0415
    from toolmaster.policies.transformers import TransformersPolicy  # noqa: PLC0415

    chat = ChatFormat(load_tokenizer(folder))
    model = load_model(folder, "bfloat16")
    compile_blocks(model)
    return TransformersPolicy(model, chat, settings.sampling, name=str(folder), seed=settings.seed)


def _report(
    settings: BenchmarkSettings, run: Run, measured: list[Measured], left_out: Sequence[LeftOut]
) -> Path:
    """Write results, figures and report, and print the tables."""
    lines = [
        {"task_id": t.task_id, "rollout": t.rollout, "values": dict(values)}
        for t, values in measured
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(run.folder / "results.jsonl", text)
    found = figures(measured)
    broken = sum(item.trajectory.error is not None for item in measured)
    facts = {
        "benchmark": settings.benchmark,
        "tasks": len(measured),
        "left_out": len(left_out),
        "broken": broken,
        "figures": {
            group: {name: figure.model_dump() for name, figure in of_group.items()}
            for group, of_group in found.items()
        },
    }
    write_atomically(run.folder / "figures.json", json.dumps(facts, indent=2))
    grids = [figures_grid(settings.benchmark, found), left_out_grid(left_out)]
    for grid in grids if left_out else grids[:1]:
        console.print(render(grid))
    if broken:
        console.print(f"{broken} of {len(measured)} rollouts broke and count as failures; the same")
        console.print("command runs them again")
    path = run.folder / "report.html"
    trajectories = [item.trajectory for item in measured]
    name = settings.model or f"replay of {settings.replay}"
    config = settings.model_dump(mode="json")
    title = f"{settings.benchmark}: {name}"
    write_report(path, title, config, {name: trajectories}, [], grids=grids)
    console.print(f"report: {path}")
    return path
