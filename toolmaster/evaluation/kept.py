"""The files of an evaluation: its trajectories, and beside them its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.runs import changed_settings, read_record, read_trajectories, write_atomically
from toolmaster.types import Record

MODELS = ("grpo", "sft", "base")
"""The models that a run measures, the one that it trained last before the others."""


class SavedSettings(Record):
    """The settings of a file of rollouts, written beside it as `NAME.settings.json`."""

    model: str
    settings: dict[str, Any]
    """Rollouts with other settings are refused in the same file."""
    facts: dict[str, str]
    """See `Evaluation.facts`."""


def save_settings(out: Path, settings: SavedSettings) -> None:
    """Write the settings of an evaluation beside its file of trajectories, which may hold some.

    Raises:
        ConfigError: the file holds trajectories that were made with other settings.
        InputError: the file cannot be read or written.
    """
    before = read_settings(out)
    if before is not None and out.is_file():
        old, new = ({"model": s.model, **s.settings} for s in (before, settings))
        changes = changed_settings(old, new)
        if changes:
            raise ConfigError(
                f"{out} holds rollouts made with other settings ({'; '.join(changes)}); give"
                " another out=FILE, or remove this one"
            )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out.parent}: {error.strerror}") from None
    write_atomically(_beside(out), settings.model_dump_json(indent=1))


def evaluation_file(place: Path) -> Path:
    """Return the file of trajectories that a place stands for.

    Args:
        place: The file itself; the folder of an evaluation; or the folder of a run, which stands
            for the model that it trained last.

    Raises:
        InputError: The folder is neither.
    """
    if not place.is_dir():
        return place
    for name in ("trajectories", *(f"{s}{m}" for s in ("evaluate/", "") for m in MODELS)):
        file = place / f"{name}.jsonl"
        if file.is_file():
            return file
    found = ", ".join(str(file.parent) for file in sorted(place.glob("*/trajectories.jsonl")))
    raise InputError(
        f"{place} is not the folder of an evaluation; give that, the folder of a run that was"
        f" evaluated, or a file of trajectories{f'. There are: {found}' if found else ''}"
    )


def read_evaluation(place: Path) -> Evaluation:
    """Read the evaluation that `evaluate(..., out=file)` kept, or any file of trajectories.

    Args:
        place: See `evaluation_file`.

    Raises:
        InputError: A file is missing or damaged.
    """
    file = evaluation_file(place)
    saved = read_settings(file) or SavedSettings(model=str(file), settings={}, facts={})
    return Evaluation(read_trajectories(file), saved.model, saved.facts)


def read_settings(out: Path) -> SavedSettings | None:
    """Return the settings saved beside a file of trajectories; None if there are none."""
    return read_record(_beside(out), SavedSettings)


def _beside(out: Path) -> Path:
    return out.with_suffix(".settings.json")
