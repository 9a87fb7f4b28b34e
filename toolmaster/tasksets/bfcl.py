"""BFCL, the Berkeley Function Calling Leaderboard: multi-turn and single-turn tasks.

    bfcl, bfcl:multi_turn       800 conversations over eight stateful Python classes
    bfcl:multi_turn_base, ...   one of their categories
    bfcl:single_turn            1,240 questions: the right calls of functions that are not run
    bfcl:live                   2,251 more of them, sent in by users
    bfcl:simple_python, ...     one category of these

Source: Patil et al., the Berkeley Function Calling Leaderboard. Cases, classes and right calls come
from its package: `pip install --no-deps bfcl-eval mpmath`. The rules are those of the package's
checkers, see `bfcl_multi_turn` and `bfcl_single_turn`; `value` and `success` are its accuracy. Not
here: Java, JavaScript, memory, web search and format sensitivity.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError, InputError
from toolmaster.tasksets import bfcl_multi_turn, bfcl_single_turn
from toolmaster.tasksets.bfcl_world import package_data
from toolmaster.tasksets.rows import RowError, Rows, read_rows
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset

MULTI_TURN = bfcl_multi_turn.CATEGORIES
GROUPS = {
    "multi_turn": MULTI_TURN,
    "single_turn": bfcl_single_turn.CATEGORIES,
    "live": bfcl_single_turn.LIVE,
}
CATEGORIES = (*MULTI_TURN, *bfcl_single_turn.CATEGORIES, *bfcl_single_turn.LIVE)
WITHOUT_ANSWERS = ("irrelevance", "live_irrelevance", "live_relevance")
"""Categories in which no call, or any call, is right."""


def bfcl(category: str = "multi_turn") -> Taskset:
    """Make the task set of a category or group of categories.

    Args:
        category: as in the module's text; or a file in the package's form, whose name says the
            category, with the right calls under the same name in a folder `possible_answer`.

    Raises:
        ConfigError: no such category.
        InputError: the package is not installed, or a file cannot be used.
    """
    if category.endswith(".json"):
        files = [Path(category)]
    else:
        names = GROUPS.get(category, (category,))
        if names[0] not in CATEGORIES:
            allowed = ", ".join([*GROUPS, *CATEGORIES])
            raise ConfigError(f"bfcl has no category {category!r}; it has: {allowed}")
        files = [package_data() / f"BFCL_v4_{name}.json" for name in names]
    parts = [_read(file) for file in files]
    multi_turn = _category(files[0]) in MULTI_TURN
    package = version("bfcl-eval")
    facts = {"bfcl-eval": package}
    if not multi_turn:
        facts["functions"] = "acknowledged, not run; a trial of them tells nothing"
    return Taskset(
        f"bfcl:{Path(category).stem}",
        [task for part in parts for task in part.tasks],
        version=package if not category.endswith(".json") else parts[0].version,
        limits=(bfcl_multi_turn if multi_turn else bfcl_single_turn).LIMITS,
        left_out=[row for part in parts for row in part.left_out],
        facts=facts,
    )


def _category(file: Path) -> str:
    name = file.stem.removeprefix("BFCL_v4_")
    if name not in CATEGORIES:
        allowed = ", ".join(CATEGORIES)
        raise InputError(f"{file}: its name is to be BFCL_v4_CATEGORY.json, one of {allowed}")
    return name


def _read(file: Path) -> Rows:
    """Read the tasks of a file."""
    category = _category(file)
    answers = {} if category in WITHOUT_ANSWERS else _answers(file)

    def conversation(_: int, row: bfcl_multi_turn.Row) -> Task:
        return bfcl_multi_turn.make_task(row, category, answers.get(row.id))

    def question(_: int, row: bfcl_single_turn.Row) -> Task:
        if answers and row.id not in answers:
            raise RowError("id", "there are no right calls of this id")
        return bfcl_single_turn.make_task(row, category, answers.get(row.id))

    if category in MULTI_TURN:
        return read_rows(file, bfcl_multi_turn.Row, conversation)
    return read_rows(file, bfcl_single_turn.Row, question)


def _answers(file: Path) -> dict[str, Any]:
    """Row id to the right calls, which lie in a file of the same name."""
    answers = file.parent / "possible_answer" / file.name
    try:
        lines = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
        return {line["id"]: line["ground_truth"] for line in lines}
    except OSError as error:
        raise InputError(f"cannot read the right calls {answers}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{answers}: not the right calls of BFCL: {error!r}") from None
