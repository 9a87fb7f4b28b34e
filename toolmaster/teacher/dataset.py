"""Demonstrations as a Hugging Face dataset that other trainers read.

A row has `messages` in OpenAI's form and `tools`, the JSON schemas as one JSON text: schemas of
different tools have no common columns. Assistant messages hold the protocol's own text (thought and
one block), which is what a student writes; observations are messages of role "tool". `train` is
False in every message that is no turn of the teacher's, and in its slips.

* TRL: `SFTTrainer(train_dataset=load_dataset(FOLDER)["train"])` reads both columns as they are. It
  knows no `train` flag: the column `slips` tells which rows to drop.
* LLaMA-Factory: `dataset_dir: FOLDER`, `dataset: toolmaster`, `template: qwen`. It knows no flag
  either and has no way to drop rows, so its entry in `dataset_info.json` names `clean.jsonl`, the
  rows without slips. Its template `chatml` asks for calls in another form than they are in.
* axolotl: `path: FOLDER`, `type: chat_template`, `message_field_training: train`.

The card declares no `configs`: with them `datasets` takes a folder from its cache also after its
files were replaced, which a continued run does.
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
{count} demonstrations of a teacher, protocol `{protocol}`. `messages` are in OpenAI's form, the
tools' JSON schemas are a JSON text in `tools`. A message with `train` false is context: never train
on it. {clean} demonstrations hold no slip, that is, every assistant message may be trained on; they
are in `clean.jsonl` once more.

TRL reads `load_dataset(FOLDER)` as it is. Train on assistant messages only, and drop the rows where
`slips` is above 0, for TRL does not know `train`.

axolotl trains on exactly the messages with `train` true. With FOLDER for this folder:

```yaml
datasets:
  - path: FOLDER
    type: chat_template
    field_messages: messages
    message_field_training: train
```

Both write tools and observations with the tokenizer's chat template, which must know tools. For a
model whose own does not, `toolmaster.models.load_tokenizer(CHECKPOINT)` gives a tokenizer that
does; save it and name its folder (axolotl: `tokenizer_config`).

LLaMA-Factory does not know `train` either and reads `clean.jsonl`. It writes tools and observations
with a template of its own; for a model with ChatML's tokens that is `qwen`:

```yaml
dataset_dir: FOLDER
dataset: toolmaster
template: qwen
```

Not `chatml`: it would tell the model to write calls in another form than these demonstrations do.
"""
LLAMA_FACTORY = {
    "toolmaster": {
        "file_name": "clean.jsonl",
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
    """Write all rows (parquet, JSON lines), the clean ones, a card and LLaMA-Factory's entry.

    The entry is left out when no row is clean, for LLaMA-Factory cannot read an empty file.

    Args:
        demonstrations: at least one.
        folder: created if missing; its files are replaced.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    rows = [dataset_row(demonstration) for demonstration in demonstrations]
    clean = [row for row in rows if row["slips"] == 0]
    for name, some in (("train.jsonl", rows), ("clean.jsonl", clean)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in some]
        write_atomically(folder / name, "".join(lines))
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    card = CARD.format(count=len(rows), clean=len(clean), protocol=demonstrations[0].protocol)
    write_atomically(folder / "README.md", card)
    entry = LLAMA_FACTORY if clean else {}
    write_atomically(folder / "dataset_info.json", json.dumps(entry, indent=2))
