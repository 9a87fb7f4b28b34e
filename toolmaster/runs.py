"""Run folders and JSON-lines files, written so that a kill loses nothing.

`runs/<name>/` holds `config.json` (the resolved recipe), `metrics.jsonl`, and one folder per stage
with its `trajectories.jsonl` or checkpoint, and `done.json` once it has finished. An incomplete
last line, which a kill can leave, is ignored on reading. In a training with several processes only
the main one writes.
"""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sys
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError, first_problem, near_file
from toolmaster.system.nesting import read_json
from toolmaster.system.processes import is_main
from toolmaster.system.redaction import redacted
from toolmaster.types import Trajectory

if sys.platform != "win32":
    import fcntl

R = TypeVar("R", bound=BaseModel)
CHECKPOINTS = "checkpoints"
"""Name of the folder, inside a stage's, with the checkpoints of an unfinished training."""


class Run:
    """One run folder.

    Args:
        folder: the folder; it is created if it is missing.
        settings: the resolved recipe.
        may_change: dotted keys of settings that may change when the run is resumed.
        facts: other values that the results depend on, saved beside the settings.

    Raises:
        ConfigError: the run was begun with other settings, and made something; names those that
            differ.
        InputError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        *,
        may_change: Collection[str] = (),
        facts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        config = folder / "config.json"
        now = redacted({**settings.model_dump(mode="json"), **facts})
        try:
            if config.is_file():
                before = read_json(config.read_text(encoding="utf-8"))
                changes = changed_settings(before, now, {*may_change, "run"})  # it may be moved
                if changes and any(p.is_file() and p != config for p in folder.rglob("*")):
                    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
                    raise ConfigError(
                        f"{folder} was begun with other settings ({'; '.join(changes[:5])}{more});"
                        " give another run=FOLDER, or remove this one"
                    )
            folder.mkdir(parents=True, exist_ok=True)
            if is_main():
                write_atomically(config, json.dumps(now, indent=2))
        except ValueError:
            raise InputError(f"{config} is damaged; move the folder away or repair it") from None
        except OSError as error:
            raise InputError(f"cannot write the run folder {folder}: {error.strerror}") from None

    def stage(self, name: str) -> Path:
        """Return the folder of a stage; it is created if it is missing."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def is_done(self, stage: str) -> bool:
        """Return whether a stage has finished."""
        return (self.folder / stage / "done.json").is_file()

    def finish(self, stage: str, **facts: Any) -> None:
        """Mark a stage as finished, with facts about it (such as seconds), and remove checkpoints.

        Checkpoints hold optimizer states, which are larger than the model.
        """
        if is_main():
            write_atomically(self.stage(stage) / "done.json", json.dumps(facts, indent=2))
            shutil.rmtree(self.folder / stage / CHECKPOINTS, ignore_errors=True)

    def log(self, stage: str, step: int, values: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        append_line(self.folder / "metrics.jsonl", {"stage": stage, "step": step, **values})

    def metrics(self) -> list[dict[str, Any]]:
        """Return all metric lines; if a resumed run logged a step twice, only the later line."""
        latest: dict[tuple[str, int, str], dict[str, Any]] = {}
        for line in read_lines(self.folder / "metrics.jsonl"):
            kind = ",".join(sorted(line))
            latest[line["stage"], line["step"], kind] = line
        return list(latest.values())


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str] = ()
) -> list[str]:
    """Return what differs between two nested settings, one `key: before -> now` per leaf.

    Args:
        before: the settings that something was made with.
        now: the settings that are given now.
        may_change: dotted keys to ignore.

    Example:
        >>> changed_settings({"sft": {"epochs": 1}}, {"sft": {"epochs": 2}})
        ['sft.epochs: 1 -> 2']
    """
    old, new = dict(_leaves(before)), dict(_leaves(now))
    keys = sorted((old.keys() | new.keys()).difference(may_change))
    return [f"{k}: {old.get(k)!r} -> {new.get(k)!r}" for k in keys if old.get(k) != new.get(k)]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file at once; a kill leaves the old or the new one.

    Raises:
        InputError: the disk is full or the file cannot be written; the old file is unchanged.
    """
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # used by this process alone
    try:
        if path.exists():
            scratch.touch(mode=0o600)
            shutil.copymode(path, scratch)  # a private file stays private
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
    """Return whether a full disk caused an error of any library."""
    full = "No space left on device" in str(error)
    return full or (folder.is_dir() and shutil.disk_usage(folder).free < 2**20)


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line; an incomplete last line is removed first.

    Several processes may append to one file: each holds the file's lock while it writes.

    Raises:
        InputError: the disk is full or the file cannot be written; what was there stays intact.
    """
    data = (json.dumps(redacted(record), ensure_ascii=False) + "\n").encode(errors="replace")
    try:
        with path.open("ab+", buffering=0) as file, locked(file):
            _end_last_line(file)
            end = file.seek(0, os.SEEK_END)
            try:
                written = file.write(data)  # one write: no reader sees half of a line
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise InputError(
            f"cannot append to {path}: {error.strerror}; what was written before is intact: free"
            " some space and start the same command again"
        ) from None


@contextmanager
def locked(file: BinaryIO | FileIO) -> Iterator[None]:
    """Hold the lock of a file, if the operating system and the file system have locks."""
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


def _end_last_line(file: FileIO) -> None:
    """Remove an incomplete last line, or end a complete one."""
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
    """Return the records of a JSON-lines file that we wrote; a missing file is empty.

    Raises:
        InputError: A line is damaged. A torn last line, as a kill leaves it, is dropped instead.
    """
    return [record for _, record in _numbered(path)] if path.is_file() else []


def read_models(path: Path, model: type[R]) -> list[R]:
    """Return the records of a JSON-lines file that we wrote, validated; a missing file is empty.

    Args:
        path: The file. A torn last line, as a kill leaves it, is dropped.
        model: The class of each record.

    Raises:
        InputError: A line is not valid; the message names the file, the line and the field.
    """
    return [record for _, record in _validated(path, model)] if path.is_file() else []


def read_record(path: Path, model: type[R]) -> R | None:
    """Return the record that a JSON file holds; None if there is no such file.

    Raises:
        InputError: The file is damaged; the message names the field.
    """
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where, problem = first_problem(error)
        raise InputError(f"{path}: {where or 'the whole'}: {problem}; remove it to go on") from None


def read_written(path: Path, model: type[R]) -> Iterator[tuple[int, R]]:
    """Return the records of a JSON-lines file that a person wrote, with the number of each line.

    Args:
        path: The file. Its last line must be complete, too.
        model: The class of each record.

    Raises:
        InputError: The file cannot be read, or a line is not valid.
    """
    return _validated(path, model, may_be_torn=False)


def _numbered(path: Path, *, may_be_torn: bool = True) -> Iterator[tuple[int, Any]]:
    """Yield the number and the value of each line that is not blank."""
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}{near_file(path)}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = read_json(line)
        except ValueError as error:
            if may_be_torn and number == len(lines):  # a kill left this line without its end
                return
            raise InputError(
                f"{path}, line {number}: not valid JSON ({error}); remove that line to go on"
            ) from None
        yield number, record


def _validated(path: Path, model: type[R], *, may_be_torn: bool = True) -> Iterator[tuple[int, R]]:
    for number, line in _numbered(path, may_be_torn=may_be_torn):
        try:
            yield number, model.model_validate(line)
        except ValidationError as error:
            where, problem = first_problem(error)
            problem = f"{where}: {problem}" if where else problem
            if error.errors()[0]["type"] == "extra_forbidden" and "." not in where:
                problem += f"; a line may have {', '.join(model.model_fields)}"
            raise InputError(f"{path}, line {number}: {problem}") from None


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Write a whole JSON-lines file at once; see `write_atomically`."""
    values = (redacted(record.model_dump(mode="json", exclude_defaults=True)) for record in records)
    lines = (json.dumps(v, ensure_ascii=False, separators=(",", ":")) + "\n" for v in values)
    write_atomically(path, "".join(lines))


def append_trajectory(path: Path, trajectory: Trajectory) -> None:
    """Append one trajectory to a `trajectories.jsonl`."""
    append_line(path, trajectory.model_dump(mode="json", exclude_defaults=True))


def read_trajectories(path: str | Path) -> list[Trajectory]:
    """Return all trajectories of a JSON-lines file.

    Raises:
        InputError: the file is missing, or a record in it is not a trajectory.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file{near_file(path)}")
    try:
        return read_models(path, Trajectory)
    except InputError as error:
        raise InputError(
            f"{error}. A trajectory is a JSON object on a line of its own, as in the"
            " trajectories.jsonl of `evaluate`, `demonstrate` and `solve`"
        ) from None
