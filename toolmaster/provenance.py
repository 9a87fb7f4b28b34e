"""The record of what a model was trained on; evaluation leaves those tasks out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from toolmaster.errors import InputError, first_problem
from toolmaster.models import lasting_name
from toolmaster.runs import write_atomically
from toolmaster.types import Record

FILE = "training.json"


class Training(Record):
    """What a model was trained on, including the training of the model it started from."""

    base: str
    """The model that the first training started from: a folder, or OWNER/NAME@COMMIT of the Hub."""
    stages: list[str] = Field(default_factory=list)
    """The trainings in order, such as "sft" and "grpo"."""
    tasksets: list[str] = Field(default_factory=list)
    """Labels of the task sets trained on."""
    task_ids: list[str] = Field(default_factory=list)
    """Ids of the tasks trained on, sorted."""


def read_training(folder: Path) -> Training | None:
    """Return the record in a model's folder; None if it has none.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return Training.model_validate_json(file.read_bytes())
    except ValidationError as error:
        where, problem = first_problem(error)
        raise InputError(f"{file}: {where}: {problem}; remove the file to go on") from None


def write_training(
    folder: Path,
    stage: str,
    start: Path,
    *,
    tasksets: Iterable[str],
    task_ids: Iterable[str],
) -> None:
    """Write into a model's folder what it was trained on.

    Args:
        folder: the folder of the trained model.
        stage: "sft" or "grpo".
        start: the model folder that this training started from; its own record is included.
        tasksets: labels of the task sets.
        task_ids: ids of the tasks.

    Raises:
        InputError: the file cannot be written.
    """
    before = read_training(start) or Training(base=lasting_name(start))
    training = Training(
        base=before.base,
        stages=[*before.stages, stage],
        tasksets=sorted({*before.tasksets, *tasksets}),
        task_ids=sorted({*before.task_ids, *task_ids}),
    )
    write_atomically(folder / FILE, training.model_dump_json(indent=1))
