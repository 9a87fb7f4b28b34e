"""Demonstrations as a Hugging Face dataset, for other trainers: `load_dataset(FOLDER)`.

A row has `messages` in OpenAI's form and `tools`, the JSON schemas as one JSON text: schemas of
different tools have no common columns. Assistant messages hold the protocol's own text (thought and
one block), which is what a student writes; observations are messages of role "tool".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolmaster.runs import write_atomically
from toolmaster.types import Trajectory

CARD = """\
---
tags:
- tool-use
---
{count} demonstrations, protocol `{protocol}`. `messages` are in OpenAI's form; `tools` holds the
tools' JSON schemas as one JSON text. Train only on messages whose `train` is true: the others are
context or slips, which are shown for their correction.

TRL trains on `load_dataset(FOLDER)["train"]` as it is, with `assistant_only_loss=True`. It does not
know `train`: drop the rows where `slips` is above 0; {clean} rows are left. axolotl knows it:
`type: chat_template`, `message_field_training: train`. The tokenizer's chat template must know
tools; `toolmaster.models.load_tokenizer(CHECKPOINT)` gives one that does.
"""
# The card declares no `configs`: with them `datasets` takes a folder from its cache also after its
# files were replaced, as a continued run does.


def dataset_row(demonstration: Trajectory) -> dict[str, Any]:
    """Return one row: messages, tools and what is known of the demonstration."""
    messages = [
        {"role": message.role, "content": message.content, "train": False}
        for message in demonstration.messages()
    ]
    turns = [message for message in messages if message["role"] == "assistant"]
    for message, step in zip(turns, demonstration.steps, strict=True):
        message["train"] = not step.slip
    return {
        "messages": messages,
        "tools": json.dumps(demonstration.tools, ensure_ascii=False),
        "task_id": demonstration.task_id,
        "taskset": demonstration.taskset,
        "rollout": demonstration.rollout,
        "protocol": demonstration.protocol,
        "teacher": demonstration.policy,
        "answer": demonstration.answer,
        "checked": demonstration.score is not None,
        "slips": sum(step.slip for step in demonstration.steps),
        "labels": json.dumps(demonstration.labels, ensure_ascii=False),
    }


def write_dataset(demonstrations: Sequence[Trajectory], folder: Path) -> None:
    """Write the rows (parquet) and a card.

    Args:
        demonstrations: at least one.
        folder: created if missing; its files are replaced.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    rows = [dataset_row(demonstration) for demonstration in demonstrations]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    clean = sum(row["slips"] == 0 for row in rows)
    card = CARD.format(count=len(rows), clean=clean, protocol=demonstrations[0].protocol)
    write_atomically(folder / "README.md", card)
