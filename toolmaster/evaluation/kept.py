"""The files of an evaluation: its trajectories, and beside them what they depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.runs import changed_settings, read_record, read_trajectories, write_atomically
from toolmaster.types import Record


class Kept(Record):
    """What the rollouts of a file depend on, written beside it as `NAME.settings.json`."""

    model: str
    settings: dict[str, Any]
    """Rollouts of other settings do not go into the same file."""
    facts: dict[str, str]
    """See `Evaluation.facts`."""


def keep(out: Path, kept: Kept) -> None:
    """Write beside a file of trajectories what they depend on.

    Args:
        out: the file of trajectories, which may hold some already.
        kept: what is written.

    Raises:
        ConfigError: the trajectories that are there were made with other settings.
        InputError: the file cannot be read or written.
    """
    before = _read(out)
    if before is not None and out.is_file():
        old, new = ({"model": k.model, **k.settings} for k in (before, kept))
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
    write_atomically(_beside(out), kept.model_dump_json(indent=1))


def read_evaluation(file: Path) -> Evaluation:
    """Read the evaluation that `evaluate(..., out=file)` kept, or any file of trajectories.

    Raises:
        InputError: a file is missing or damaged.
    """
    trajectories = read_trajectories(file)
    kept = _read(file)
    if kept is None:
        return Evaluation(trajectories, str(file))
    return Evaluation(trajectories, kept.model, kept.facts)


def _read(out: Path) -> Kept | None:
    return read_record(_beside(out), Kept)


def _beside(out: Path) -> Path:
    return out.with_suffix(".settings.json")
