"""Does experience pay? Series of tasks with the same tools, with and without the store.

    python benchmarks/experience.py                                   the oracle
    python benchmarks/experience.py --model runs/quickstart/sft/model

Three sides run the same series: `none` (no experience), `store` (the verdict on each task is known
when it is learned from), and `unjudged` (it is not: errors and checks alone show what is wrong).
Calls include the trial's and those that checks cost. A second round does the same where the tool
silently changes its behaviour in the middle. The tasks are done in runs of `--run-length`, each of
which checks a lesson at its first use if its call only reads: with 5 the tool changes between two
runs, with 10 within one, and with 1 each task is a run, as with `toolmaster solve TASK`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from toolmaster.errors import InputError
from toolmaster.experience import Experience, ExperienceStore, Retrieved
from toolmaster.limits import Limits
from toolmaster.policies.base import Policy, Sampling
from toolmaster.policies.loading import load_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import Effect
from toolmaster.world.tasks import World

LENGTH = 10
SIDES = ("none", "store", "unjudged")
TRIED = ("loud", "silent", "irreversible")
"""Families of which a trial shows something that lasts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one task of a series came to."""

    calls: int
    checks: int
    success: bool


@dataclass(frozen=True, slots=True)
class Setup:
    """How series are run."""

    world: World
    policy: Policy | None
    """None for the oracle."""
    limits: Limits
    run_length: int
    """Number of tasks in a run."""
    concurrency: int


def find_series(world: World, count: int) -> list[str]:
    """Task ids that open a series on unseen tools in which something is tried and can change."""
    found: list[str] = []
    for number in range(40 * count):
        task_id = world.id_of("test", number)
        if world.draw(task_id).task.labels["family"] in TRIED and changes(world, task_id):
            found.append(task_id)
        if len(found) == count:
            break
    return found


def changes(world: World, task_id: str) -> bool:
    """Whether the tool of a series can change silently."""
    try:
        world.draw(f"{task_id}/1c")
    except InputError:
        return False
    return True


def reads(world: World, task_id: str) -> bool:
    """Whether the tools that a series tries only read, so that their lessons can be checked."""
    tried = world.draw(task_id).goal.tried
    return all(call.operation.effect is Effect.READ for call in tried)


async def run_series(
    setup: Setup, task_id: str, experience: Experience | None, *, judged: bool, change_at: int
) -> list[Outcome]:
    """The tasks of one series, one after the other."""
    outcomes = []
    for place in range(1, LENGTH + 1):
        if experience is not None and (place - 1) % setup.run_length == 0:
            experience = replace(experience)
        changed = "c" if change_at and place >= change_at else ""
        drawn = setup.world.draw(f"{task_id}/{place}{changed}")
        task, tools = drawn.task, drawn.task.make_tools()
        retrieved = Retrieved() if experience is None else await experience.retrieve(tools)
        request = RolloutRequest(replace(task, experience=retrieved.text))
        policy = setup.policy or OraclePolicy(
            drawn, Protocol.TRIAL, Behaviours(), known=retrieved.text
        )
        trajectory = await run_rollout(request, policy, Protocol.TRIAL, setup.limits)
        calls = len(trajectory.calls()) + retrieved.checks
        outcomes.append(Outcome(calls, retrieved.checks, trajectory.success))
        if experience is not None:
            seen = trajectory if judged else trajectory.model_copy(update={"score": None})
            await experience.learn(seen, tools, retrieved)
    return outcomes


async def run_side(
    setup: Setup, side: str, ids: Sequence[str], change_at: int, folder: Path
) -> list[list[Outcome]]:
    """All series of one side, several at a time, each with a store of its own."""
    gate = asyncio.Semaphore(setup.concurrency)

    async def run(number: int, task_id: str) -> list[Outcome]:
        async with gate:
            experience = None
            if side != "none":
                store = ExperienceStore(folder / f"{side}-{change_at}-{number}.jsonl")
                experience = Experience(store)
            judged = side != "unjudged"
            return await run_series(setup, task_id, experience, judged=judged, change_at=change_at)

    return await asyncio.gather(*(run(number, task_id) for number, task_id in enumerate(ids)))


def figures(
    series: Sequence[Sequence[Outcome]], change_at: int, kinds: Sequence[str]
) -> dict[str, Any]:
    """Means per place, over places 2 to the last, and how soon success was back after a change."""
    places = list(zip(*series, strict=True))
    later = [outcome for place in places[1:] for outcome in place]
    found: dict[str, Any] = {
        "calls": [_mean([o.calls for o in place]) for place in places],
        "success": [_mean([o.success for o in place]) for place in places],
        "later_calls": _mean([o.calls for o in later]),
        "later_checks": _mean([o.checks for o in later]),
        "later_success": _mean([o.success for o in later]),
    }
    if change_at:
        after = [[o.success for o in one[change_at - 1 :]] for one in series]
        failed = [s.index(True) if True in s else len(s) for s in after]
        found["recovery"] = list(zip(failed, kinds, strict=True))
    return found


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def show(console: Console, title: str, sides: dict[str, dict[str, Any]], change_at: int) -> None:
    """One table: calls and success per place, and the totals."""
    table = Table(title=title)
    for column in ("", *map(str, range(1, LENGTH + 1)), f"2-{LENGTH}", "change"):
        table.add_column(column, justify="right")
    usual = sides["none"]["later_calls"]
    for side, found in sides.items():
        fall = f"{100 * (found['later_calls'] / usual - 1):+.0f}%" if usual else ""
        calls = [f"{value:.1f}" for value in found["calls"]]
        table.add_row(f"{side}: calls", *calls, f"{found['later_calls']:.2f}", fall)
        success = [f"{100 * value:.0f}" for value in found["success"]]
        gain = found["later_success"] - sides["none"]["later_success"]
        total = f"{100 * found['later_success']:.1f}"
        table.add_row(f"{side}: success, %", *success, total, f"{100 * gain:+.1f}")
    console.print(table)
    for side, found in sides.items() if change_at else ():
        for kind in ("reads", "writes"):
            failed = [count for count, one in found["recovery"] if one == kind]
            if failed:
                soon = sum(count <= 1 for count in failed)
                console.print(
                    f"{side}, {kind}: after the change {soon} of {len(failed)} series failed at"
                    f" most one task before success was back (longest: {max(failed)})"
                )


def _setup(arguments: argparse.Namespace) -> Setup:
    policy: Policy | None = None
    if arguments.model != "oracle":
        sampling = Sampling(slots=arguments.concurrency)
        policy = load_policy(arguments.model, sampling, base_url=arguments.base_url)
    world = World(level="short")
    return Setup(world, policy, Limits(), arguments.run_length, arguments.concurrency)


async def measure(setup: Setup, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both rounds, all sides of each, and show them; returns all figures."""
    ids, at = find_series(setup.world, arguments.series), arguments.change_at
    kinds = ["reads" if reads(setup.world, one) else "writes" for one in ids]
    results: dict[str, Any] = {"arguments": {k: str(v) for k, v in vars(arguments).items()}}
    with tempfile.TemporaryDirectory() as folder:
        for title, change_at in (("steady", 0), ("changing", at)):
            sides = {}
            for side in SIDES:
                series = await run_side(setup, side, ids, change_at, Path(folder))
                sides[side] = figures(series, change_at, kinds)
            when = f" at task {at}" if change_at else ""
            heading = f"{title}{when}: {len(ids)} series, {arguments.model}"
            show(Console(width=None if sys.stdout.isatty() else 130), heading, sides, change_at)
            results[title] = {"series": ids, **sides}
    return results


def main() -> None:
    """Read the arguments, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="oracle", help="oracle, a folder or openai:NAME")
    parser.add_argument("--base-url", help="of an openai: model")
    parser.add_argument("--series", type=int, default=24)
    parser.add_argument("--change-at", type=int, default=6, help="place of the first changed task")
    parser.add_argument("--run-length", type=int, default=5, help="tasks in a run")
    parser.add_argument("--concurrency", type=int, default=24, help="series in flight")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    arguments = parser.parse_args()
    results = asyncio.run(measure(_setup(arguments), arguments))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
