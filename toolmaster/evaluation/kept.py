"""The files of an evaluation: its trajectories, and beside them its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.runs import changed_settings, read_record, read_trajectories, write_atomically
from toolmaster.types import Record


class SavedSettings(Record):
    """The settings of a file of rollouts, written beside it as `NAME.settings.json`."""

    model: str
    settings: dict[str, Any]
    """Rollouts with other settings are refused in the same file."""
    facts: dict[str, str]
    """See `Evaluation.facts`."""


def save_settings(out: Path, settings: SavedSettings) -> None:
    """Write the settings of an evaluation beside its file of trajectories.

    Args:
        out: the file of trajectories, which may hold some already.
        settings: the settings.

    Raises:
        ConfigError: the file holds trajectories that were made with other settings.
        InputError: the file cannot be read or written.
    """
    before = read_record(_beside(out), SavedSettings)
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


def read_evaluation(file: Path) -> Evaluation:
    """Return the evaluation that `evaluate(..., out=file)` wrote, or that of any trajectories.

    Raises:
        InputError: a file is missing or damaged.
    """
    trajectories = read_trajectories(file)
    saved = read_record(_beside(file), SavedSettings)
    if saved is None:
        return Evaluation(trajectories, str(file))
    return Evaluation(trajectories, saved.model, saved.facts)


def _beside(out: Path) -> Path:
    return out.with_suffix(".settings.json")
