"""Records of where models and results come from.

A model's folder lists what it was trained on, so that it is not measured on the same tasks; results
name the program and the machine that made them.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from toolmaster import __version__
from toolmaster.models.checkpoints import lasting_name
from toolmaster.runs import read_record, write_atomically
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
    return read_record(folder / FILE, Training)


def write_training(
    folder: Path,
    stage: str,
    start: Path,
    *,
    tasksets: Iterable[str],
    task_ids: Iterable[str],
) -> None:
    """Write the record of a training into a model's folder.

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


def made_by() -> dict[str, str]:
    """Return the program, the machine and the time, to be written beside results.

    Returns:
        "version" (with the commit, if the program runs from a git checkout), "machine", "date".
    """
    root = Path(__file__).resolve().parents[2]
    described = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    commit = ""
    if (root / ".git").exists():
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(described, capture_output=True, check=True, text=True, timeout=10)  # noqa: S603 - a fixed command
            commit = f" ({done.stdout.strip()})"
    parts = [f"{os.cpu_count()} CPUs ({platform.machine()})", *_gpus(), platform.system()]
    return {
        "version": f"toolmaster {__version__}{commit}",
        "machine": ", ".join([*parts, f"Python {platform.python_version()}"]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def took(seconds: float) -> str:
    """Return a duration as text: `12 s`, `38 min`, `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _gpus() -> list[str]:
    """Return the GPUs of this process, if it has loaded torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"]
