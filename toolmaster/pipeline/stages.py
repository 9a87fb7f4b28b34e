"""The stages of a run: demonstrate, sft, grpo, evaluate, report. Each can be resumed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError, PolicyError
from toolmaster.evaluation.metrics import latest
from toolmaster.models.checkpoints import find_model, fit_context, read_config
from toolmaster.models.provenance import made_by, read_training, took
from toolmaster.pipeline.recipe import Recipe
from toolmaster.policies.loading import load_checkpoint
from toolmaster.progress import bar, console, say, tell, training_callback
from toolmaster.rewards import Rewards
from toolmaster.runs import Run, read_trajectories
from toolmaster.system.allocator import release
from toolmaster.system.extras import require
from toolmaster.system.processes import need_one
from toolmaster.training.settings import GrpoSettings
from toolmaster.types import Trajectory

MODEL_TITLES = {"base": "base model", "sft": "SFT", "grpo": "GRPO"}
DEMONSTRATIONS = "trajectories.jsonl"


def run_all(recipe: Recipe) -> Path:
    """Run every stage that has not finished and the report; return the report's path."""
    while run_next(recipe) != "report":
        release()
    return recipe.run / "report.html"


def run_next(recipe: Recipe) -> str:
    """Run the first stage that has not finished; return its name, "report" after the last one."""
    need_one("run")
    check(recipe)
    run = _open(recipe)
    done = [name for name in recipe.stages if run.is_done(name)]
    if done:
        tell(f"finished: {', '.join(done)}; to run one again, remove its folder in {run.folder}")
    for name in recipe.stages:
        if name not in done:
            run_stage(recipe, name)
            return name
    report(recipe)
    return "report"


def check(recipe: Recipe) -> None:
    """Raise, before any work, the errors that a later stage would raise.

    Raises:
        ConfigError: a reward does not exist.
        InputError: a model or task set cannot be opened, a task is both trained on and measured, or
            the extra `train` is not installed.
    """
    require("train", "safetensors")  # faster to import than the rest of the extra
    for name in recipe.stages:
        if not (recipe.run / name / "done.json").is_file():
            _check_training(recipe, name)
    recipe.evaluation_tasks()
    if "demonstrate" in recipe.stages:
        recipe.demonstrate.check()
    config = read_config(find_model(recipe.model))
    for sampling in (recipe.grpo.sampling, recipe.evaluate.sampling):
        fit_context(config, sampling, recipe.model)


def _check_training(recipe: Recipe, name: str) -> None:
    """Refuse fields of a trainer and rewards that do not exist; other stages have neither."""
    if name == "sft":
        from toolmaster.training.fields import check_fields  # noqa: PLC0415 - loads TRL

        check_fields("sft", recipe.sft.trainer)
    elif name == "grpo":
        from toolmaster.training.grpo import trainer_fields  # noqa: PLC0415 - loads TRL

        rewards_of(recipe.grpo, recipe.run)
        trainer_fields(recipe.grpo)


def _open(recipe: Recipe) -> Run:
    """Open the run's folder, which holds tasks of one version only."""
    return Run(recipe.run, recipe, facts={"taskset": recipe.training_tasks().label})


def run_stage(recipe: Recipe, name: str) -> Path:
    """Run one stage, unless it has finished; return its folder.

    Args:
        recipe: the recipe of the run.
        name: "demonstrate", "sft", "grpo", "evaluate" or "report".

    Raises:
        ConfigError: the run was begun with other settings, or a setting of the stage's trainer or a
            reward does not exist.
        InputError: an earlier stage that it needs has not finished, or a file cannot be used.
        PolicyError: some rollouts broke; the others are saved.
    """
    if name == "report":
        return report(recipe).parent
    work, needed = _STAGES[name]
    if name not in ("sft", "grpo"):
        need_one(name)
    run = _open(recipe)
    if run.is_done(name):
        tell(f"{name} has finished already; to do it again, remove {run.folder / name}")
        return run.folder / name
    _check_training(recipe, name)
    for earlier in needed:
        if earlier not in recipe.stages or run.is_done(earlier):
            pass
        elif earlier == "demonstrate" and recipe.demonstrate.file is not None:
            run_stage(recipe, earlier)  # which takes the file over
        else:
            raise InputError(f"{run.folder} has no finished {earlier} stage; run `{earlier}` first")
    started = time.perf_counter()
    work(recipe, run, run.stage(name))
    run.finish(name, seconds=time.perf_counter() - started, **made_by())
    return run.folder / name


def _demonstrate(recipe: Recipe, _run: Run, folder: Path) -> None:
    from toolmaster.teacher.demonstrations import demonstrate  # noqa: PLC0415 - only here

    tasks = recipe.training_tasks().shuffled(recipe.seed)
    demonstrate(
        tasks,
        output_dir=folder,
        protocol=recipe.protocol,
        limits=recipe.limits_for(tasks),
        **dict(recipe.demonstrate),
    )


def _sft(recipe: Recipe, run: Run, folder: Path) -> None:
    from toolmaster.training.sft import train_sft  # noqa: PLC0415 - loads torch

    demonstrations = read_trajectories(run.folder / "demonstrate" / DEMONSTRATIONS)
    model = find_model(recipe.model)

    def log(step: int, values: dict[str, Any]) -> None:
        run.log("sft", step, values)
        _warn_of_cut_turns(recipe, values.get("longest_turn_tokens", 0))

    with bar("sft", len(demonstrations)) as running:
        train_sft(
            model,
            demonstrations,
            recipe.sft,
            folder,
            seed=recipe.seed,
            log=log,
            progress=training_callback(running),
        )


def _warn_of_cut_turns(recipe: Recipe, longest_turn: int) -> None:
    """Warn about stages that cut turns shorter than those of the demonstrations."""
    for stage, sampling in ("grpo", recipe.grpo.sampling), ("evaluate", recipe.evaluate.sampling):
        if stage in recipe.stages and sampling.turn_tokens < longest_turn:
            say(
                f"{stage}.sampling.turn_tokens={sampling.turn_tokens} cuts turns short:"
                f" demonstrations have turns of up to {longest_turn} tokens; raise it",
                "yellow",
            )


def _grpo(recipe: Recipe, run: Run, folder: Path) -> None:
    from toolmaster.training.collector import keep_in  # noqa: PLC0415 - loads torch
    from toolmaster.training.grpo import train_grpo  # noqa: PLC0415

    tasks, rewards = recipe.training_tasks(), rewards_of(recipe.grpo, folder)
    trained = run.folder / "sft" / "model"
    model = trained if "sft" in recipe.stages else find_model(recipe.model)
    with bar("grpo", 1) as running:
        train_grpo(
            model,
            tasks,
            rewards,
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
    """Return the rewards of a recipe; a judge stores its responses in the folder."""
    if settings.judge.model is None or "judge" not in settings.rewards:
        return Rewards(settings.rewards)
    from toolmaster.rewards.judge import judge  # noqa: PLC0415 - only for a judge

    judged = judge(**dict(settings.judge), file=folder / "responses.jsonl")
    return Rewards(settings.rewards, judged)


def models_of(recipe: Recipe) -> dict[str, Path | str]:
    """Return the folder or name of each model that a run measures: "base", "sft", "grpo"."""
    models: dict[str, Path | str] = {"base": recipe.model} if recipe.evaluate.base_tasks else {}
    trained = [name for name in ("sft", "grpo") if name in recipe.stages]
    return models | {name: recipe.run / name / "model" for name in trained}


def _evaluate(recipe: Recipe, _run: Run, folder: Path) -> None:
    for name in models_of(recipe):
        _measure(recipe, name, folder / f"{name}.jsonl")
        release()


def _measure(recipe: Recipe, name: str, file: Path) -> None:
    from toolmaster.evaluation.evaluate import collect  # noqa: PLC0415 - loads what it needs

    settings = recipe.evaluate
    sets = recipe.evaluation_tasks()
    if name == "base":
        sets = [tasks[: settings.base_tasks] for tasks in sets]
    if len(_finished(file)) == sum(len(tasks) for tasks in sets) * settings.rollouts:
        return
    folder = find_model(str(models_of(recipe)[name]))
    policy = load_checkpoint(folder, settings.sampling, name=name, seed=recipe.seed)
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
            )
        )
        broken = [t.error for t in trajectories if t.error is not None]
        if broken:
            raise PolicyError(
                f"{len(broken)} of {len(trajectories)} rollouts of {name} broke, the first:"
                f" {broken[0]}; the others are kept, start the same command again to run these"
                " once more"
            )


def _finished(file: Path) -> list[Trajectory]:
    """Return the rollouts of an evaluation that did not break; of repeated ones, the last."""
    return [t for t in latest(read_trajectories(file)) if t.error is None] if file.is_file() else []


def results_of(recipe: Recipe) -> dict[str, list[Trajectory]]:
    """Return the finished rollouts of a run's evaluation, by model title."""
    folder = recipe.run / "evaluate"
    finished = {name: _finished(folder / f"{name}.jsonl") for name in models_of(recipe)}
    return {MODEL_TITLES[name]: rollouts for name, rollouts in finished.items() if rollouts}


_STAGES: dict[str, tuple[Callable[[Recipe, Run, Path], None], tuple[str, ...]]] = {
    "demonstrate": (_demonstrate, ()),
    "sft": (_sft, ("demonstrate",)),
    "grpo": (_grpo, ("sft",)),
    "evaluate": (_evaluate, ("sft", "grpo")),
}
"""The function of each stage, and the stages whose results it needs."""


def _provenance(recipe: Recipe) -> dict[str, str]:
    models = models_of(recipe)
    folders = (Path(models[name]) for name in ("sft", "grpo") if name in models)
    training = next(filter(None, map(read_training, folders)), None)
    files = {stage: recipe.run / stage / "done.json" for stage in recipe.stages}
    done = {s: json.loads(f.read_text("utf-8")) for s, f in files.items() if f.is_file()}
    times = [f"{stage} {took(facts['seconds'])}" for stage, facts in done.items()]
    base = "" if training is None else training.base
    last = {key: str(value) for facts in done.values() for key, value in facts.items()}
    return {
        "models": ", ".join(f"{MODEL_TITLES[name]}: {model}" for name, model in models.items()),
        "base model": base if "@" in base else recipe.model,  # rather than a folder of a cache
        "trained on": recipe.tasks,
        "seed": str(recipe.seed),
        **{key: last[key] for key in ("version", "machine", "date") if key in last},
        "time taken": ", ".join(times),
    }


def report(recipe: Recipe) -> Path:
    """Print the tables and write `report.html` about the finished stages; return its path.

    Raises:
        InputError: nothing has been measured yet.
    """
    from toolmaster.evaluation.comparison import compare_all, verdict  # noqa: PLC0415
    from toolmaster.evaluation.evaluation import Evaluation  # noqa: PLC0415
    from toolmaster.evaluation.tables import run_grids  # noqa: PLC0415
    from toolmaster.report.page import Page, write_report  # noqa: PLC0415 - loads jinja2
    from toolmaster.report.viewer import decoder  # noqa: PLC0415

    run = _open(recipe)
    results = [Evaluation(group, title) for title, group in results_of(recipe).items()]
    if not results and ("evaluate" in recipe.stages or not run.metrics()):
        raise InputError(
            f"{run.folder} has no evaluation to report; run `evaluate` first, or look at its"
            f" trajectories with `toolmaster view {run.folder}`"
        )
    for shown in (*run_grids(results), *compare_all(results), verdict(results)):
        console.print(shown, markup=False)
    models = {MODEL_TITLES[name]: str(model) for name, model in models_of(recipe).items()}
    path = run.folder / "report.html"
    page = Page(
        run.folder.name,
        results,
        _provenance(recipe),
        recipe.model_dump(mode="json"),
        run.metrics(),
        {title: decoder(model) for title, model in models.items() if Path(model).is_dir()},
    )
    write_report(path, page)
    say(f"report: {path}", "")
    return path
