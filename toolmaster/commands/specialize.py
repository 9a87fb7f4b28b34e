"""`toolmaster specialize`: trains a model for given tools on tasks that are generated from them.

toolmaster specialize --tools shop.py:Shop --dry-run
toolmaster specialize --tools shop.py:Shop --run runs/shop sft.trainer.max_steps=200
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from toolmaster.commands.options import NOTHING, Flag, Given, Words, options, read, split_words
from toolmaster.commands.stages import run_recipe
from toolmaster.errors import ConfigError
from toolmaster.pipeline.recipe import Recipe
from toolmaster.progress import console, say
from toolmaster.specialize.generate import Generated, GenerateSettings, generate
from toolmaster.system.nesting import read_json

RUN = Path("runs/specialize")
_DEFAULTS: Mapping[str, Any] = {
    "run": RUN,
    "protocol": "direct",
    "stages": ["demonstrate", "sft", "evaluate"],
    "demonstrate.count": None,
    "sft.trainer": {"learning_rate": 4e-4, "per_device_train_batch_size": 4},
    "evaluate.base_tasks": 60,
    "evaluate.sampling": {"context_tokens": 2048},
}
"""The recipe, where no setting says otherwise."""
_MADE = "it is made from --tools"


@options(Recipe, hide=("tasks",), without_recipe=_DEFAULTS)
def specialize(
    *words: Words,
    tools: tuple[str, ...],
    count: int = 600,
    heldout: int = 60,
    known: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    dry_run: Flag = False,
    given: Given = NOTHING,
) -> None:
    """Train a model for your own tools, on tasks generated from them.

    Args:
        tools: A tool source with its options, in quotes. May be repeated.
        count: Number of training tasks, at most.
        heldout: Number of tasks to measure on, at most.
        known: Values of a parameter that nothing shows: "PARAMETER=VALUE,VALUE". May be repeated.
        dry_run: Generate and show the tasks, and train nothing.
    """
    places, settings = split_words(words)
    if places:
        raise ConfigError(f"`specialize` takes settings key=value; received {places[0]!r}")
    refused = {"tasks": _MADE, "evaluate.tasks": _MADE}
    recipe = read(Recipe, settings, given, made=_DEFAULTS, refused=refused)
    wanted = GenerateSettings(
        tools=tools, count=count, heldout=heldout, known=_known(known), seed=recipe.seed
    )
    folder = recipe.run / "generated"
    made_before = (folder / "done.json").is_file()
    generated = generate(wanted, folder)
    if dry_run or not made_before:
        _show(generated)
    if dry_run:
        return
    sources = " ".join(f"tools={source}" for source in tools)
    recipe = recipe.model_copy(
        update={
            "tasks": f"{generated.train} {sources}",
            "evaluate": recipe.evaluate.model_copy(
                update={"tasks": (f"{generated.heldout} {sources}",)}
            ),
        }
    )
    run_recipe("run", recipe)
    trained = [name for name in recipe.stages if name in ("sft", "grpo")]
    if trained:
        model = recipe.run / trained[-1] / "model"
        shown = " ".join(f'--tools "{source}"' for source in tools)
        say(f'use it: toolmaster solve "TASK" {shown} --model {model}', "green")


def _known(lines: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return the values of parameters, each as JSON if it is."""
    known: dict[str, tuple[Any, ...]] = {}
    for line in lines:
        name, equals, values = line.partition("=")
        if not equals or not name or not values:
            raise ConfigError(f'--known {line!r}: it is written "PARAMETER=VALUE,VALUE"')
        known[name] = tuple(map(_value, values.split(",")))
    return known


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _show(generated: Generated) -> None:
    """Print how many tasks there are of each kind, and why tools have none."""
    table = Table("tasks", "to train on", "held out", box=None, padding=(0, 2, 0, 0))
    for kind, (train, heldout) in generated.counts.items():
        table.add_row(kind, str(train), str(heldout))
    console.print(table)
    for name, why in generated.left_out.items():
        say(f"no tasks for {name}: {why}", "yellow")
    say(f"tasks: {generated.train}, {generated.heldout}", "")
