"""The stages of a run, each resumable and a command: demonstrate, sft, grpo, evaluate, report.

from toolmaster.config import load_config
from toolmaster.recipe import Recipe, find_recipe
from toolmaster import pipeline

recipe = load_config(Recipe, find_recipe("quickstart"))
pipeline.run_all(recipe)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolmaster.allocator import release
from toolmaster.errors import InputError, PolicyError
from toolmaster.evaluation.metrics import latest
from toolmaster.extras import require
from toolmaster.models import find_model, fit_context, read_config
from toolmaster.policies.loading import load_checkpoint
from toolmaster.processes import need_one
from toolmaster.progress import bar, console, solved_counter, training_callback
from toolmaster.provenance import read_training
from toolmaster.recipe import Recipe
from toolmaster.rewards import Rewards
from toolmaster.runs import Run, read_trajectories
from toolmaster.tasksets import Taskset
from toolmaster.training.settings import GrpoSettings
from toolmaster.types import Trajectory

MODEL_TITLES = {"base": "base model", "sft": "after SFT", "grpo": "after GRPO"}
DEMONSTRATIONS = "trajectories.jsonl"


def run_all(recipe: Recipe) -> Path:
    """Run every stage that is not finished; returns the path of the report."""
    while run_next(recipe) != "report":
        release()
    return recipe.run / "report.html"


def run_next(recipe: Recipe) -> str:
    """Run the first stage that is not finished; returns its name, in the end "report"."""
    need_one("run")
    check(recipe)
    run = _open(recipe)
    stages = {"demonstrate": demonstrate, "sft": sft, "grpo": grpo, "evaluate": evaluate}
    for name in recipe.stages:
        if not run.is_done(name):
            stages[name](recipe)
            return name
    report(recipe)
    return "report"


def check(recipe: Recipe) -> None:
    """Refuse, before any work, what some stage would refuse.

    Raises:
        ConfigError: a reward or a field of TRL that does not exist.
        InputError: a model or task set that cannot be opened, or a task that is both trained on
            and measured, or training is not installed.
    """
    require("train", "safetensors")  # light, unlike the others of the extra
    recipe.evaluation_tasks()
    config = read_config(find_model(recipe.model))
    for sampling in (recipe.grpo.sampling, recipe.evaluate.sampling):
        fit_context(config, sampling, recipe.model)
    if "grpo" in recipe.stages:
        rewards_of(recipe.grpo, recipe.run)


def _open(recipe: Recipe) -> Run:
    """The run's folder; tasks of another version are not mixed with those there."""
    return Run(recipe.run, recipe, facts={"taskset": recipe.training_tasks().label})


@contextmanager
def _finishing(run: Run, stage: str) -> Iterator[Path]:
    """The folder of a stage, which is marked as finished, with its seconds, in the end."""
    started = time.perf_counter()
    yield run.stage(stage)
    run.finish(stage, seconds=time.perf_counter() - started)


def _need(run: Run, recipe: Recipe, stage: str) -> None:
    """Refuse to go on without an earlier stage.

    Raises:
        InputError: the recipe has the stage, and it is not finished.
    """
    if stage in recipe.stages and not run.is_done(stage):
        raise InputError(f"{run.folder} has no finished {stage} stage; run `{stage}` first")


def demonstrate(recipe: Recipe) -> Path:
    """Make the demonstrations; returns their file."""
    need_one("demonstrate")
    run = _open(recipe)
    file = run.stage("demonstrate") / DEMONSTRATIONS
    if run.is_done("demonstrate"):
        return file
    from toolmaster.teacher.demonstrations import demonstrate as make  # noqa: PLC0415 - only for this stage

    with _finishing(run, "demonstrate") as folder:
        tasks = recipe.training_tasks().shuffled(recipe.seed)
        make(
            tasks,
            output_dir=folder,
            protocol=recipe.protocol,
            limits=recipe.limits_for(tasks),
            **dict(recipe.demonstrate),
        )
    return file


def sft(recipe: Recipe) -> Path:
    """Fine-tune on the demonstrations; returns the checkpoint's folder."""
    run = _open(recipe)
    if run.is_done("sft"):
        return run.folder / "sft" / "model"
    _need(run, recipe, "demonstrate")
    demonstrations = read_trajectories(run.folder / "demonstrate" / DEMONSTRATIONS)
    base = find_model(recipe.model)
    from toolmaster.training.sft import train_sft  # noqa: PLC0415 - loads torch

    def log(step: int, values: dict[str, Any]) -> None:
        run.log("sft", step, values)
        _tell_cut(recipe, values.get("longest_turn_tokens", 0))

    with _finishing(run, "sft") as folder, bar("sft", len(demonstrations)) as running:
        return train_sft(
            base,
            demonstrations,
            recipe.sft,
            folder,
            seed=recipe.seed,
            log=log,
            progress=training_callback(running),
        )


def _tell_cut(recipe: Recipe, longest_turn: int) -> None:
    """Warn where the model may not write as long a turn as it learns to write."""
    for stage, sampling in ("grpo", recipe.grpo.sampling), ("evaluate", recipe.evaluate.sampling):
        if stage in recipe.stages and sampling.turn_tokens < longest_turn:
            console.print(
                f"[yellow]{stage}.sampling.turn_tokens={sampling.turn_tokens} cuts turns short:"
                f" demonstrations have turns of up to {longest_turn} tokens; raise it[/yellow]"
            )


def grpo(recipe: Recipe) -> Path:
    """Reinforce the model of the stage before; returns the checkpoint's folder."""
    run = _open(recipe)
    if run.is_done("grpo"):
        return run.folder / "grpo" / "model"
    _need(run, recipe, "sft")
    start = run.folder / "sft" / "model" if "sft" in recipe.stages else find_model(recipe.model)
    from toolmaster.training.collector import keep_in  # noqa: PLC0415 - loads torch
    from toolmaster.training.grpo import train_grpo  # noqa: PLC0415

    tasks = recipe.training_tasks()
    with _finishing(run, "grpo") as folder, bar("grpo", 1) as running:
        return train_grpo(
            start,
            tasks,
            rewards_of(recipe.grpo, folder),
            recipe.protocol,
            recipe.limits_for(tasks),
            recipe.grpo,
            folder,
            seed=recipe.seed,
            log=lambda step, values: run.log("grpo", step, values),
            on_group=keep_in(folder),
            progress=training_callback(running),
        )


def rewards_of(settings: GrpoSettings, folder: Path) -> Rewards:
    """The rewards of a recipe; a judge keeps its verdicts in the folder."""
    asked = settings.judge
    if asked.model is None or "judge" not in settings.rewards:
        return Rewards(settings.rewards)
    from toolmaster.rewards.judge import judge  # noqa: PLC0415 - only where one is asked

    judged = judge(
        asked.model,
        base_url=asked.base_url,
        prices=asked.prices,
        max_cost=asked.max_cost,
        file=folder / "verdicts.jsonl",
    )
    return Rewards(settings.rewards, judged)


def models_of(recipe: Recipe) -> dict[str, Path | str]:
    """The models that a run measures: name ("base", "sft", "grpo") to folder or model."""
    trained = {name: recipe.run / name / "model" for name in ("sft", "grpo")}
    models: dict[str, Path | str] = {n: f for n, f in trained.items() if n in recipe.stages}
    if recipe.evaluate.base_tasks:
        models = {"base": recipe.model, **models}
    return models


def evaluate(recipe: Recipe) -> dict[str, list[Trajectory]]:
    """Measure the models on held-out tasks; returns the trajectories by model title.

    Raises:
        InputError: a model is not trained yet.
        PolicyError: rollouts broke; the others are kept.
    """
    need_one("evaluate")
    run = _open(recipe)
    for name in models_of(recipe):
        if name != "base":
            _need(run, recipe, name)
    with _finishing(run, "evaluate") as folder:
        for name in models_of(recipe):
            _measure(recipe, name, folder / f"{name}.jsonl")
            release()
    return results_of(recipe)


def _measure(recipe: Recipe, name: str, file: Path) -> None:
    """Run what is missing of one model's evaluation."""
    from toolmaster.evaluation.evaluate import collect  # noqa: PLC0415 - loads what it needs

    settings = recipe.evaluate
    sets = _measured(recipe, name)
    total = sum(len(tasks) for tasks in sets) * settings.rollouts
    held = len(_held(file))
    if held == total:
        return
    folder = find_model(str(models_of(recipe)[name]))
    policy = load_checkpoint(folder, settings.sampling, name=name, seed=recipe.seed)
    with bar(f"evaluate {name}", total, held) as running:
        count = solved_counter(running)
        for tasks in sets:
            trajectories = asyncio.run(
                collect(
                    tasks,
                    policy,
                    recipe.protocol,
                    recipe.limits_for(tasks),
                    file,
                    rollouts=settings.rollouts,
                    concurrency=settings.sampling.slots,
                    on_finish=count,
                )
            )
            broken = [t.error for t in trajectories if t.error is not None]
            if broken:
                raise PolicyError(
                    f"{len(broken)} of {len(trajectories)} rollouts of {name} broke, the first:"
                    f" {broken[0]}; the others are kept, start the same command again to run these"
                    " once more"
                )


def _measured(recipe: Recipe, name: str) -> list[Taskset]:
    """The task sets that one model is measured on: the model before training on fewer tasks."""
    sets = recipe.evaluation_tasks()
    return [tasks[: recipe.evaluate.base_tasks] for tasks in sets] if name == "base" else sets


def _held(file: Path) -> list[Trajectory]:
    """The rollouts of an evaluation that have not broken; of one that was run again, the last."""
    return [t for t in latest(read_trajectories(file)) if t.error is None] if file.is_file() else []


def results_of(recipe: Recipe) -> dict[str, list[Trajectory]]:
    """The finished evaluations of a run, by model title."""
    folder = recipe.run / "evaluate"
    found = {name: _held(folder / f"{name}.jsonl") for name in models_of(recipe)}
    return {MODEL_TITLES[name]: held for name, held in found.items() if held}


def _base(recipe: Recipe) -> dict[str, str]:
    """The model that training began with, by a name that lasts; nothing where none is trained."""
    folders = (recipe.run / name / "model" for name in ("sft", "grpo") if name in recipe.stages)
    training = next(filter(None, map(read_training, folders)), None)
    return {} if training is None else {"trained_from": training.base}


def report(recipe: Recipe) -> Path:
    """Print the tables and write `report.html` of what is finished; returns its path.

    Raises:
        InputError: nothing was measured yet.
    """
    from toolmaster.evaluation.comparison import compare, compare_grid  # noqa: PLC0415
    from toolmaster.evaluation.evaluation import Evaluation  # noqa: PLC0415
    from toolmaster.evaluation.grids import render  # noqa: PLC0415
    from toolmaster.evaluation.tables import run_grids  # noqa: PLC0415
    from toolmaster.report.page import write_report  # noqa: PLC0415 - loads jinja2

    run = _open(recipe)
    results = results_of(recipe)
    if not results and "evaluate" in recipe.stages:
        raise InputError(f"{run.folder} has no evaluation to report; run `evaluate` first")
    for grid in run_grids(results) if results else ():
        console.print(render(grid))
    before, after = (
        Evaluation(results.get(title, []), title)
        for title in (MODEL_TITLES["sft"], MODEL_TITLES["grpo"])
    )
    grids = []
    if before.trajectories and after.trajectories:
        console.print(compare(before, after))
        grids = [compare_grid(before, after)]
    path = run.folder / "report.html"
    settings = recipe.model_dump(mode="json") | _base(recipe)
    write_report(path, run.folder.name, settings, results, run.metrics(), grids)
    console.print(f"report: {path}", soft_wrap=True)
    return path
