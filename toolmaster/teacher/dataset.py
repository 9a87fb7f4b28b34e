"""Demonstrations for other trainers, as rows that Hugging Face `datasets` reads.

    load_dataset("json", data_files="runs/demonstrations/dataset.jsonl", split="train")

`messages` are in OpenAI's form; `tools` holds the tools' JSON schemas as one JSON text, because
schemas of different tools have no common columns. Assistant messages hold the text that a student
writes: a thought and one block. Train only on messages whose `train` is true: the others are
context, or injected errors, which are shown for their correction.

TRL trains on these rows with `assistant_only_loss=True`. It does not know `train`: drop the rows
where `slips` is above 0. axolotl knows it: `type: chat_template`, `message_field_training: train`.
The tokenizer's chat template must know tools; `toolmaster.models.load_tokenizer` gives one that
does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolmaster.runs import write_atomically
from toolmaster.types import Trajectory


def dataset_row(demonstration: Trajectory) -> dict[str, Any]:
    """Return the row of a demonstration."""
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


def write_dataset(demonstrations: Sequence[Trajectory], file: Path) -> None:
    """Write one row per demonstration, as JSON lines."""
    rows = map(dataset_row, demonstrations)
    write_atomically(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
