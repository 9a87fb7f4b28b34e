"""The stages of a run, each resumable and a command: synthesize, sft, grpo, evaluate, report.

from toolmaster.config import load_config
from toolmaster.recipe import Recipe
from toolmaster import pipeline

recipe = load_config(Recipe, Path("recipes/quickstart.toml"))
pipeline.run_all(recipe)
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from toolmaster.allocator import release
from toolmaster.errors import InputError, PolicyError
from toolmaster.models import find_model
from toolmaster.policies.base import Policy
from toolmaster.policies.loading import load_checkpoint
from toolmaster.processes import is_main, need_one
from toolmaster.progress import bar, console, solved_counter, training_callback
from toolmaster.recipe import Recipe
from toolmaster.runs import (
    CHECKPOINTS,
    Run,
    append_trajectory,
    read_trajectories,
    write_records,
)
from toolmaster.types import Trajectory

_IN_VAIN = 500
"""Tasks in a row without a demonstration after which synthesis gives up."""
MODEL_TITLES = {"base": "base model", "sft": "after SFT", "grpo": "after GRPO"}


def run_all(recipe: Recipe) -> Path:
    """Run every stage that is not finished; returns the path of the report."""
    while run_next(recipe) != "report":
        release()
    return recipe.run / "report.html"


def run_next(recipe: Recipe) -> str:
    """Run the first stage that is not finished; returns its name, in the end "report"."""
    need_one("run")
    find_model(recipe.model)
    run = _open(recipe)
    models = recipe.evaluate.models
    if not run.is_done("synthesize"):
        synthesize(recipe)
        return "synthesize"
    if not run.is_done("sft"):
        sft(recipe)
        return "sft"
    if "grpo" in models and not run.is_done("grpo"):
        grpo(recipe)
        return "grpo"
    if not all(run.is_done(f"evaluate/{name}") for name in models):
        evaluate(recipe)
        return "evaluate"
    report(recipe)
    return "report"


def _open(recipe: Recipe) -> Run:
    """The run's folder; tasks of another version of the world are not mixed with ours."""
    return Run(recipe.run, recipe, facts={"tasks": recipe.training_tasks().label})


def synthesize(recipe: Recipe) -> Path:
    """Make the demonstrations; returns their file."""
    need_one("synthesize")
    run = _open(recipe)
    file = run.stage("synthesize") / "trajectories.jsonl"
    if run.is_done("synthesize"):
        return file
    started = time.perf_counter()
    if recipe.synthesize.file is not None:
        _take(recipe.synthesize.file, recipe, file)
        run.finish("synthesize", seconds=time.perf_counter() - started)
        return file
    tasks, wanted = recipe.training_tasks().shuffled(recipe.seed), recipe.synthesize.demonstrations
    held = {t.task_id for t in read_trajectories(file)} if file.is_file() else set()

    async def collect() -> None:
        count, in_vain = len(held), 0
        with bar("synthesize", wanted, count) as running:
            for task_id in tasks.ids:
                if count >= wanted:
                    return
                if task_id in held:
                    in_vain = 0
                    continue
                demonstration = await tasks.oracle(
                    task_id, recipe.protocol, recipe.limits, recipe.synthesize
                )
                in_vain += 1
                if demonstration is not None:
                    append_trajectory(file, demonstration)
                    count, in_vain = count + 1, 0
                    running.advance()
                if in_vain >= _IN_VAIN:
                    raise InputError(
                        f"none of {in_vain} tasks in a row gave a demonstration; the limits, the"
                        " protocol and the families of the recipe leave the teacher no way to"
                        " succeed"
                    )

    asyncio.run(collect())
    run.finish("synthesize", seconds=time.perf_counter() - started)
    return file


def _take(source: Path, recipe: Recipe, file: Path) -> None:
    """Take demonstrations that were made before, their tokens as the recipe's model has them.

    Raises:
        InputError: there are none, they were made with another protocol than the recipe's, or one
            of them broke or failed.
    """
    demonstrations = read_trajectories(source)
    others = {t.protocol for t in demonstrations} - {recipe.protocol}
    if not demonstrations or others:
        found = f"the protocol {min(others)!r}" if others else "no demonstrations"
        raise InputError(f"{source} holds {found}; the recipe trains {recipe.protocol.value!r}")
    bad = next((t for t in demonstrations if t.error or not t.steps or _failed(t)), None)
    if bad is not None:
        raise InputError(f"{source}: {bad.task_id} did not solve its task; keep those that did")
    write_records(file, map(_untokenized, demonstrations))


def _failed(trajectory: Trajectory) -> bool:
    return trajectory.score is not None and not trajectory.success


def _untokenized(trajectory: Trajectory) -> Trajectory:
    """Without the tokens of whichever model wrote it."""
    steps = [
        step.model_copy(update={"token_ids": [], "observation_ids": []})
        for step in trajectory.steps
    ]
    return trajectory.model_copy(update={"prompt_ids": [], "steps": steps})


def sft(recipe: Recipe) -> Path:
    """Fine-tune on the demonstrations; returns the checkpoint's folder."""
    run = _open(recipe)
    folder = run.stage("sft")
    if run.is_done("sft"):
        return folder / "model"
    if not run.is_done("synthesize"):
        raise InputError(f"{run.folder} has no finished demonstrations; run `synthesize` first")
    demonstrations = read_trajectories(run.folder / "synthesize" / "trajectories.jsonl")
    base = find_model(recipe.model)
    from toolmaster.training.sft import train_sft  # noqa: PLC0415 - loads torch

    def log(step: int, values: dict[str, Any]) -> None:
        run.log("sft", step, values)
        _tell_cut(recipe, values.get("longest_turn_tokens", 0))

    started = time.perf_counter()
    with bar("sft", len(demonstrations)) as running:
        model = train_sft(
            base,
            demonstrations,
            recipe.sft,
            folder,
            seed=recipe.seed,
            log=log,
            progress=training_callback(running),
        )
    run.finish("sft", seconds=time.perf_counter() - started)
    return model


def _tell_cut(recipe: Recipe, longest_turn: int) -> None:
    """Warn where the model may not write as long a turn as it learns to write."""
    for stage, sampling in ("grpo", recipe.grpo.sampling), ("evaluate", recipe.evaluate.sampling):
        if sampling.turn_tokens < longest_turn:
            console.print(
                f"[yellow]{stage}.sampling.turn_tokens={sampling.turn_tokens} cuts turns short:"
                f" demonstrations have turns of up to {longest_turn} tokens; raise it[/yellow]"
            )


def grpo(recipe: Recipe) -> Path:
    """Reinforce the fine-tuned model; returns the checkpoint's folder."""
    run = _open(recipe)
    folder = run.stage("grpo")
    if run.is_done("grpo"):
        return folder / "model"
    if not run.is_done("sft"):
        raise InputError(f"{run.folder} has no finished SFT model; run `sft` first")
    from toolmaster.training.common import last_checkpoint  # noqa: PLC0415 - loads torch
    from toolmaster.training.grpo import train_grpo  # noqa: PLC0415

    file = folder / "trajectories.jsonl"
    if is_main():
        _forget_redone(file, last_checkpoint(folder / CHECKPOINTS))

    def keep(group: list[Trajectory]) -> None:
        for trajectory in group:
            append_trajectory(file, trajectory)

    started = time.perf_counter()
    with bar("grpo", recipe.grpo.steps) as running:
        model = train_grpo(
            run.folder / "sft" / "model",
            recipe.training_tasks(),
            recipe.protocol,
            recipe.limits,
            recipe.grpo,
            folder,
            seed=recipe.seed,
            log=lambda step, values: run.log("grpo", step, values),
            on_group=keep,
            progress=training_callback(running),
        )
    run.finish("grpo", seconds=time.perf_counter() - started)
    return model


def _forget_redone(file: Path, checkpoint: Path | None) -> None:
    """Drop the rollouts of steps after the checkpoint that training goes on from."""
    held = read_trajectories(file) if file.is_file() else []
    done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    kept = [t for t in held if int(t.policy.rpartition("@")[2]) < done]
    if len(kept) < len(held):
        write_records(file, kept)


def evaluate(recipe: Recipe) -> dict[str, list[Trajectory]]:
    """Measure the models on held-out tasks; returns the trajectories by model title."""
    need_one("evaluate")
    from toolmaster.evaluation.evaluate import collect  # noqa: PLC0415

    run = _open(recipe)
    settings = recipe.evaluate
    for name in settings.models:
        if name != "base" and not run.is_done(name):
            raise InputError(f"{run.folder} has no finished {name} model; run `{name}` first")
    results: dict[str, list[Trajectory]] = {}
    sets = recipe.evaluation_tasks()
    for name in settings.models:
        parts = [part[: settings.base_tasks] for part in sets] if name == "base" else sets
        ids = [task_id for part in parts for task_id in part.ids]
        stage, file = f"evaluate/{name}", run.stage("evaluate") / f"{name}.jsonl"
        if run.is_done(stage):
            held = {t.task_id: t for t in read_trajectories(file)}
            results[MODEL_TITLES[name]] = [held[task_id] for task_id in ids]
            continue
        policy = _policy(recipe, run, name)
        started = time.perf_counter()
        with bar(f"evaluate {name}", len(ids)) as running:
            results[MODEL_TITLES[name]] = [
                trajectory
                for part in parts
                for trajectory in asyncio.run(
                    collect(
                        part,
                        policy,
                        recipe.protocol,
                        recipe.limits,
                        file,
                        concurrency=settings.sampling.slots,
                        on_finish=solved_counter(running),
                    )
                )
            ]
        broken = [t.error for t in results[MODEL_TITLES[name]] if t.error is not None]
        if broken:
            raise PolicyError(
                f"{len(broken)} of {len(ids)} rollouts of {name} broke, the first: {broken[0]}; the"
                " others are kept, start the same command again to run these once more"
            )
        run.finish(stage, seconds=time.perf_counter() - started)
        del policy
        release()
    return results


def _policy(recipe: Recipe, run: Run, name: str) -> Policy:
    """The in-process policy of a stage's model."""
    folder = find_model(recipe.model) if name == "base" else run.folder / name / "model"
    return load_checkpoint(folder, recipe.evaluate.sampling, name=name, seed=recipe.seed)


def report(recipe: Recipe) -> Path:
    """Print the tables and write `report.html`; returns its path."""
    from toolmaster.evaluation.metrics import by_label  # noqa: PLC0415 - loads numpy
    from toolmaster.evaluation.tables import compare_table, family_table, main_table  # noqa: PLC0415
    from toolmaster.report.page import write_report  # noqa: PLC0415

    run = _open(recipe)
    results = evaluate(recipe)
    unseen = {
        title: [t for t in trajectories if t.labels["split"] == "unseen"]
        for title, trajectories in results.items()
    }
    console.print(main_table({title: by_label(ts, "split") for title, ts in results.items()}))
    console.print(family_table({title: by_label(ts, "family") for title, ts in unseen.items()}))
    before, after = MODEL_TITLES["sft"], MODEL_TITLES["grpo"]
    if unseen.get(before) and unseen.get(after):
        console.print(compare_table(before, unseen[before], after, unseen[after]))
    path = run.folder / "report.html"
    write_report(path, run.folder.name, recipe.model_dump(mode="json"), results, run.metrics())
    console.print(f"report: {path}")
    return path
