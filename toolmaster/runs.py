"""Run folders: what a run keeps on disk, written so that a kill loses nothing.

`runs/<name>/` holds `config.json` (the resolved recipe), `metrics.jsonl`, and one folder per stage
with its `trajectories.jsonl` or checkpoint. JSON lines are appended and flushed one record at a
time, by one process at a time; a torn last line, which a kill can leave, is dropped on reading. A
stage that is finished says so in `done.json`. A run that made something refuses to go on under
other settings. Of the processes of one training only the main one writes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError, first_problem
from toolmaster.processes import is_main
from toolmaster.types import Trajectory

if sys.platform != "win32":
    import fcntl

M = TypeVar("M", bound=BaseModel)
CHECKPOINTS = "checkpoints"
"""The folder, in a stage's, of what an unfinished training goes on from."""


class Run:
    """One run folder.

    Args:
        folder: created if missing.
        settings: the resolved recipe.
        free: keys of the settings that may differ from one start to the next.
        facts: what else decides what is made, kept beside the settings.

    Raises:
        ConfigError: what is in the folder was made with other settings; the keys that differ are
            named.
        InputError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        free: Collection[str] = (),
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self.settings = settings
        config = folder / "config.json"
        now = {**settings.model_dump(mode="json"), **facts}
        try:
            if config.is_file():
                before = json.loads(config.read_text(encoding="utf-8"))
                if any(path.is_file() and path != config for path in folder.rglob("*")):
                    _refuse_mixing(folder, before, now, free)
            folder.mkdir(parents=True, exist_ok=True)
            if is_main():
                write_atomically(config, json.dumps(now, indent=2))
        except json.JSONDecodeError:
            raise InputError(f"{config} is damaged; move the folder away or repair it") from None
        except OSError as error:
            raise InputError(f"cannot write the run folder {folder}: {error.strerror}") from None

    def stage(self, name: str) -> Path:
        """The folder of a stage, created if missing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def is_done(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return (self.folder / stage / "done.json").is_file()

    def finish(self, stage: str, **facts: Any) -> None:
        """Mark a stage as finished, with facts worth keeping (seconds, counts).

        What it would have gone on from is removed: optimizer states are larger than the model.
        """
        if is_main():
            write_atomically(self.stage(stage) / "done.json", json.dumps(facts, indent=2))
            shutil.rmtree(self.folder / stage / CHECKPOINTS, ignore_errors=True)

    def log(self, stage: str, step: int, values: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        append_line(self.folder / "metrics.jsonl", {"stage": stage, "step": step, **values})

    def metrics(self) -> list[dict[str, Any]]:
        """All metric lines; of a step logged twice (before and after a resume) the later one."""
        latest: dict[tuple[str, int, str], dict[str, Any]] = {}
        for line in read_lines(self.folder / "metrics.jsonl"):
            kind = ",".join(sorted(line))
            latest[line["stage"], line["step"], kind] = line
        return list(latest.values())


def _refuse_mixing(
    folder: Path, before: dict[str, Any], now: dict[str, Any], free: Collection[str]
) -> None:
    # where the folder is says nothing of what is in it
    lines = changed_settings(before, now, free={*free, "run"})
    if lines:
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise ConfigError(
            f"{folder} was begun with other settings ({'; '.join(lines[:5])}{more}); give another"
            " run=FOLDER, or remove this one"
        )


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = ()
) -> list[str]:
    """Say what differs between two nested settings, one `key: before -> now` for each leaf.

    Args:
        before: the settings that something was made with.
        now: those that are asked for.
        free: dotted keys that may differ.

    >>> changed_settings({"sft": {"epochs": 1}}, {"sft": {"epochs": 2}})
    ['sft.epochs: 1 -> 2']
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    keys = sorted((old.keys() | new.keys()).difference(free))
    return [f"{k}: {old.get(k)!r} -> {new.get(k)!r}" for k in keys if old.get(k) != new.get(k)]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or none of it.

    Raises:
        InputError: the disk is full or the file cannot be written; what was there before stays.
    """
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # another process has another
    try:
        scratch.write_text(text, encoding="utf-8", errors="replace")
        os.replace(scratch, path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror}; make room or give another place, and start"
            " the same command again"
        ) from None


def no_space(error: Exception, folder: Path) -> bool:
    """Whether an error came of a full disk, whoever raised it while writing to a run's folder."""
    full = "No space left on device" in str(error)
    return full or (folder.is_dir() and shutil.disk_usage(folder).free < 2**20)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line, mending a torn last line first.

    Several processes may append to one file: each holds the file's lock while it does.

    Raises:
        InputError: the disk is full or the file cannot be written; nothing half-written counts.
    """
    data = (json.dumps(record, ensure_ascii=False) + "\n").encode(errors="replace")
    try:
        with path.open("ab+") as file, _locked(file):
            _mend(file)
            file.write(data)
    except OSError as error:
        raise InputError(
            f"cannot append to {path}: {error.strerror}; what was written before is intact: free"
            " some space and start the same command again"
        ) from None


@contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Hold the lock of a file, where the system and the file system have locks."""
    if sys.platform == "win32":
        yield
        return
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
        file.flush()
    finally:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _mend(file: BinaryIO) -> None:
    """Make the file end with a whole line: a torn one is cut off."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - 1, 0))
    if file.read(1) in (b"", b"\n"):
        return
    file.seek(0)
    last = file.read().rpartition(b"\n")[2]
    try:
        json.loads(last)
    except ValueError:
        file.truncate(end - len(last))
    else:
        file.write(b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return all records of a JSON-lines file; a missing file is empty.

    Raises:
        InputError: A line is damaged. A torn last line, as a kill leaves it, is dropped instead.
    """
    return [record for _, record in _numbered_lines(path)]


def read_models(path: Path, model: type[M]) -> list[M]:
    """Return the records of a JSON-lines file, validated; a missing file is empty.

    Args:
        path: The file. A torn last line, as a kill leaves it, is dropped.
        model: What each line must be.

    Raises:
        InputError: A line is not valid; the message names the file, the line and the field.
    """
    records = []
    for number, line in _numbered_lines(path):
        try:
            records.append(model.model_validate(line))
        except ValidationError as error:
            where, problem = first_problem(error)
            raise InputError(f"{path}, line {number}: {where or 'the whole'}: {problem}") from None
    return records


def _numbered_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line of a JSON-lines file that is not blank."""
    if not path.is_file():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # no line end follows: a kill left it
                return
            raise InputError(
                f"{path}, line {number}: not valid JSON ({error}); remove that line to go on"
            ) from None


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Write a whole JSON-lines file or none of it.

    Raises:
        InputError: see `write_atomically`.
    """
    lines = [record.model_dump_json(exclude_defaults=True) + "\n" for record in records]
    write_atomically(path, "".join(lines))


def append_trajectory(path: Path, trajectory: Trajectory) -> None:
    """Append one trajectory to a `trajectories.jsonl`."""
    append_line(path, trajectory.model_dump(mode="json", exclude_defaults=True))


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """All trajectories of a file.

    Raises:
        InputError: the file is missing, or a record in it is no trajectory.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return read_models(path, Trajectory)
