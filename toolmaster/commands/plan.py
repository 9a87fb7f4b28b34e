"""`toolmaster plan RECIPE`: the memory that a recipe takes, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

from toolmaster.commands.options import NOTHING, Given, Words, options
from toolmaster.commands.places import read_recipe
from toolmaster.errors import ConfigError
from toolmaster.models.checkpoints import find_model
from toolmaster.pipeline.recipe import STAGES, Recipe
from toolmaster.progress import console
from toolmaster.training.memory import (
    GB,
    SHAPES,
    Shape,
    batch_tokens,
    held_bytes,
    read_shape,
    step_bytes,
)
from toolmaster.training.settings import GrpoSettings, SftSettings

_DEVICES = (1, 2, 4, 8)
_PARTS = (
    *("weights", "gradients", "optimizer", "reference", "acting copy", "key-value cache"),
    "activations",
)
_Device = Annotated[int | None, Parameter(validator=Number(gte=1))]
_Memory = Annotated[float, Parameter(validator=Number(gt=0))]


@options(Recipe, hide=("stages", *STAGES))
def plan(
    *words: Words, devices: _Device = None, memory_gb: _Memory = 80.0, given: Given = NOTHING
) -> None:
    """Show the memory of each device, whole and sharded.

    Args:
        devices: Refuse the recipe if it does not fit on this number of devices, sharded.
        memory_gb: Memory of a device in GB (10^9 bytes).

    Raises:
        ConfigError: The recipe's model does not fit on `devices` devices.
    """
    recipe = read_recipe("plan", words, given)
    own = read_shape(find_model(recipe.model))
    stages: dict[str, SftSettings | GrpoSettings] = {"sft": recipe.sft, "grpo": recipe.grpo}
    for stage in (name for name in recipe.stages if name in stages):
        longest = recipe.grpo.sampling.context_tokens
        console.print(_table(stage, stages[stage], recipe.model, own, longest, memory_gb))
        needed = _parts(own, stages[stage], longest, devices or 1, sharded=(devices or 1) > 1)
        total = sum(needed.values()) / GB
        if devices is not None and total > memory_gb:
            raise ConfigError(
                f"{stage} of {recipe.model} takes {total:.1f} GB on each of {devices} devices, and"
                f" they have {memory_gb:g} GB; take more devices, or set {stage}.lora_rank,"
                f" {stage}.weights=bfloat16, {stage}.trainer.activation_checkpointing=true or a"
                f" smaller {stage}.trainer.per_device_train_batch_size"
            )


def _table(
    stage: str,
    settings: SftSettings | GrpoSettings,
    model: str,
    own: Shape,
    longest: int,
    memory_gb: float,
) -> Table:
    title = f"{stage}: GB on each device; batches of {batch_tokens(settings, longest)} tokens"
    table = Table(title=title, box=None)
    for column in ("model", "devices", *_PARTS, "all"):
        if column == "model":
            table.add_column(column, overflow="fold", min_width=5)
        else:
            table.add_column(column, justify="right", min_width=len(max(column.split(), key=len)))
    for name, shape in {model: own, **SHAPES}.items():
        for devices, sharded in _ways():
            parts = _parts(shape, settings, longest, devices, sharded=sharded)
            total = sum(parts.values()) / GB
            way = f"{devices} sharded" if sharded else str(devices)
            figures = [f"{parts[part] / GB:.1f}" if part in parts else "" for part in _PARTS]
            style = "red" if total > memory_gb else None
            table.add_row(name, way, *figures, f"{total:.1f}", style=style)
    table.caption = f"red: more than {memory_gb:g} GB; activations are an estimate"
    return table


def _ways() -> Iterator[tuple[int, bool]]:
    """Yield numbers of devices, and whether they share one copy; more whole copies take as much."""
    yield 1, False
    yield 2, False
    yield from ((count, True) for count in _DEVICES if count > 1)


def _parts(
    shape: Shape,
    settings: SftSettings | GrpoSettings,
    longest: int,
    devices: int,
    *,
    sharded: bool,
) -> dict[str, int]:
    step = step_bytes(shape, settings, tokens=batch_tokens(settings, longest), sharded=sharded)
    held = held_bytes(shape, settings, devices=devices, sharded=sharded)
    return {**held, "activations": step}
