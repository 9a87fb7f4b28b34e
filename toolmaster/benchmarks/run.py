"""Running a benchmark: open it, roll out what is missing, measure each trajectory, report.

The run folder holds `config.json`, `trajectories.jsonl` (raw predictions, appended one by one, so
that a stopped run continues), `left_out.jsonl`, and what `results` writes.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Case, Source, Suite, Values
from toolmaster.benchmarks.figures import Measured, general_values
from toolmaster.benchmarks.replay import GOLD, gold_replays, policies, read_replays
from toolmaster.benchmarks.results import write_results
from toolmaster.benchmarks.settings import BenchmarkSettings
from toolmaster.config import load_config
from toolmaster.errors import InputError, PolicyError, ToolmasterError
from toolmaster.evaluation.evaluate import collect
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import load_policy
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.progress import bar, console, solved_counter
from toolmaster.rollouts import RolloutRequest
from toolmaster.runs import Run, read_trajectories, write_atomically
from toolmaster.types import Trajectory


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
    training = []
    if settings.training is not None:
        training = [tool for t in read_trajectories(settings.training) for tool in t.tools]
    run = Run(settings.run, settings)
    source = Source(settings.data, options, run.folder)

    async def work() -> tuple[Suite, list[Measured]]:
        async with benchmark.open_suite(source) as suite:
            return suite, await _measure(suite, settings, run.folder)

    suite, measured = asyncio.run(work())
    return write_results(settings, run.folder, suite, measured, training)


async def _measure(suite: Suite, settings: BenchmarkSettings, folder: Path) -> list[Measured]:
    lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in suite.left_out]
    write_atomically(folder / "left_out.jsonl", "".join(lines))
    cases = {case.task.id: case for case in suite.cases[: settings.tasks]}
    acting: dict[str, ScriptedPolicy] = {}
    if settings.replay is not None:
        acting = _replays(settings, list(cases.values()))
        cases = {task_id: case for task_id, case in cases.items() if task_id in acting}
    if not cases:
        raise InputError(_nothing(settings, suite))
    trajectories = await _roll_out(cases, acting, settings, folder)
    broken = [t for t in trajectories if t.error is not None]
    if len(broken) == len(trajectories):
        raise PolicyError(f"all {len(broken)} rollouts broke; the first: {broken[0].error}")
    return await asyncio.gather(*(_measured(cases[t.task_id], t) for t in trajectories))


async def _measured(case: Case, trajectory: Trajectory) -> Measured:
    """What was measured; one that cannot be measured has the values of doing nothing."""
    try:
        return Measured(case, trajectory, await _values(case, trajectory))
    except ToolmasterError:
        raise
    except Exception as error:  # noqa: BLE001 - one that fails does not lose the others
        reason = f"{type(error).__name__}: {error}"
    console.print(
        f"{trajectory.task_id} cannot be measured and counts as failed: {reason}",
        markup=False,
        soft_wrap=True,
    )
    nothing = trajectory.model_copy(update={"steps": [], "answer": None, "score": None})
    try:
        values = await _values(case, nothing)
    except Exception:  # noqa: BLE001 - its own figures are then not known
        values = general_values(case, nothing)
    failed = trajectory.model_copy(update={"score": None})
    return Measured(case, failed, {**values, "not_measured": reason})


async def _values(case: Case, trajectory: Trajectory) -> Values:
    own = case.measure(trajectory)
    values = await own if inspect.isawaitable(own) else own
    return {**general_values(case, trajectory), **values}


async def _roll_out(
    cases: Mapping[str, Case],
    acting: Mapping[str, ScriptedPolicy],
    settings: BenchmarkSettings,
    folder: Path,
) -> list[Trajectory]:
    policy = _policy(settings)
    with bar(settings.benchmark, len(cases)) as running:
        return await collect(
            list(cases),
            lambda task_id: RolloutRequest(cases[task_id].task, policy=acting.get(task_id)),
            policy,
            settings.protocol,
            settings.limits,
            folder / "trajectories.jsonl",
            concurrency=settings.sampling.slots,
            on_finish=solved_counter(running),
        )


def _replays(settings: BenchmarkSettings, cases: Sequence[Case]) -> dict[str, ScriptedPolicy]:
    known = (
        gold_replays(cases)
        if settings.replay == GOLD
        else read_replays(Path(settings.replay or ""))
    )
    return policies(cases, known, settings.protocol)


def _nothing(settings: BenchmarkSettings, suite: Suite) -> str:
    """Why there is nothing to run."""
    if suite.cases:
        return f"the replay {settings.replay!r} has calls for none of the tasks"
    if not suite.left_out:
        return f"{settings.data} holds no rows"
    first = suite.left_out[0]
    where = f"{first.file}, row {first.row}" + (f", {first.field}" if first.field else "")
    return f"{len(suite.left_out)} rows could not be loaded; the first: {where}: {first.reason}"


def _policy(settings: BenchmarkSettings) -> Policy:
    """Who acts."""
    if settings.model is None:
        return ScriptedPolicy((), "replay")
    return load_policy(
        settings.model,
        settings.sampling,
        base_url=settings.base_url,
        spelling=settings.spelling,
        seed=settings.seed,
    )
