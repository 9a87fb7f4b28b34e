"""Demonstrations as a Hugging Face dataset that other trainers read.

A row has `messages` in OpenAI's form and `tools`, the JSON schemas as one JSON text: schemas of
different tools have no common columns. Assistant messages hold the protocol's own text (thought and
one block), which is what a student writes; observations are messages of role "tool". `train` is
False in every message that is no turn of the teacher's, and in its slips.

* TRL: `SFTTrainer(train_dataset=load_dataset(FOLDER)["train"])` reads both columns as they are.
* LLaMA-Factory: `dataset_dir: FOLDER`, `dataset: toolmaster`, described in `dataset_info.json`.
* axolotl: `type: chat_template`, `field_messages: messages`, `message_field_training: train`.

The first two know no `train` flag: the column `slips` tells which rows to drop for them.
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
configs:
- config_name: default
  data_files: train.parquet
tags:
- tool-use
---
{count} demonstrations of a teacher, protocol `{protocol}`. `messages` are in OpenAI's form, the
tools' JSON schemas are a JSON text in `tools`. A message with `train` false is context: never train
on it.

- TRL reads both columns as they are. Train on assistant messages only, and drop the rows where
  `slips` is above 0, for TRL does not know `train`.
- LLaMA-Factory: `dataset_dir` this folder, `dataset: toolmaster`; drop those rows likewise.
- axolotl: `type: chat_template`, `field_messages: messages`, `message_field_training: train`.
"""
LLAMA_FACTORY = {
    "toolmaster": {
        "file_name": "train.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "tools": "tools"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "observation_tag": "tool",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    }
}


def dataset_row(demonstration: Trajectory) -> dict[str, Any]:
    """One row: messages, tools and what is known of the demonstration."""
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
        "rollout": demonstration.rollout,
        "protocol": demonstration.protocol,
        "teacher": demonstration.policy,
        "answer": demonstration.answer,
        "checked": demonstration.score is not None,
        "slips": sum(step.slip for step in demonstration.steps),
        "labels": json.dumps(demonstration.labels, ensure_ascii=False),
    }


def write_dataset(demonstrations: Sequence[Trajectory], folder: Path) -> None:
    """Write the dataset: parquet, the same rows as JSON lines, a card and LLaMA-Factory's entry.

    Args:
        demonstrations: at least one.
        folder: created if missing; its files are replaced.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    rows = [dataset_row(demonstration) for demonstration in demonstrations]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_atomically(folder / "train.jsonl", "".join(lines))
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    card = CARD.format(count=len(rows), protocol=demonstrations[0].protocol)
    write_atomically(folder / "README.md", card)
    write_atomically(folder / "dataset_info.json", json.dumps(LLAMA_FACTORY, indent=2))
