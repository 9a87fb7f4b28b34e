"""Every error toolmaster raises on purpose.

    ToolmasterError            one clear message: what happened, what was received, how to mend it
    |-- ConfigError            a recipe, an override or a command line is wrong   (exit code 2)
    |-- InputError             a file, a record or a checkpoint cannot be used    (exit code 1)
    `-- PolicyError            a policy could not answer (model, endpoint)        (exit code 1)
        `-- PermanentPolicyError   nor will it answer anything else: a wrong key, model, address

What a *model* does wrong is never an exception: the session answers it with an observation that
carries an `ErrorKind` (see `types`). What a *rollout* meets (a broken policy, a broken session) is
recorded in `Trajectory.error`; only `rollouts` catches it, and stops where it is permanent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like a word; "" if none is like it.

    Example:
        >>> did_you_mean("tset", ["train", "test"])
        " (did you mean 'test'?)"
    """
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def near_file(path: Path) -> str:
    """Return a hint at the file or folder beside a missing one whose name is most like its name."""
    with suppress(OSError):
        return did_you_mean(path.name, [file.name for file in path.parent.iterdir()])
    return ""


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Where the first thing wrong is, with dots ("" for the whole), and what it is."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), problem(first)


def problem(error: Any) -> str:
    """Return what one of pydantic's errors says, with a hint where the choices are listed."""
    message = str(error["msg"])
    if error["type"] in ("literal_error", "enum"):
        choices = re.findall("'([^']*)'", error["ctx"]["expected"])
        message += did_you_mean(str(error["input"]), choices)
    return message


def not_installed(error: ModuleNotFoundError) -> Exception:
    """Return an `InputError` that says which extra has a missing package; else the error itself."""
    from importlib.metadata import PackageNotFoundError, requires  # noqa: PLC0415 - only here

    missing = (error.name or "").partition(".")[0]
    try:
        needed = requires("toolmaster") or []
    except PackageNotFoundError:  # the source alone
        return error
    for line in needed:
        name, _, condition = line.partition(";")
        module = re.split(r"[^\w.-]", name.strip(), maxsplit=1)[0].lower().replace("-", "_")
        extra = re.search(r"extra == ['\"]([\w-]+)", condition)
        if extra is None or extra[1] in ("all", "dev"):
            continue
        if {"pyyaml": "yaml"}.get(module, module) == missing:
            return missing_package(missing, extra[1])
    return error


def missing_package(name: str, extra: str) -> InputError:
    """Return the error of a package that is not installed, with the extra that has it."""
    return InputError(
        f'this needs the package {name}, which is not installed: pip install "toolmaster[{extra}]"'
    )


class ToolmasterError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""

    exit_code = 1


class ConfigError(ToolmasterError):
    """A recipe, an override or an argument that cannot be accepted."""

    exit_code = 2


class InputError(ToolmasterError):
    """A file, record, checkpoint or model that is missing or unusable."""


class PolicyError(ToolmasterError):
    """A policy that cannot produce a completion."""


class PermanentPolicyError(PolicyError):
    """A policy that will answer no request at all; `run_rollouts` stops with it."""
