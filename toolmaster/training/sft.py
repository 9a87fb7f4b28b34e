"""Supervised fine-tuning on demonstrations, through TRL's `SFTTrainer`.

Rows arrive tokenized with labels, rendered by the same `ChatFormat` as rollouts, so that no mask is
ever recovered from text. float32 weights, bfloat16 autocast where the machine multiplies in it,
sequences packed without padding or leakage where the attention allows it (`use_packed_attention`),
logits for trained tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl import SFTTrainer

from toolmaster.chat import ChatFormat
from toolmaster.config import load_config
from toolmaster.errors import InputError
from toolmaster.models import add_tag_tokens, context_limit, find_model, load_model, load_tokenizer
from toolmaster.policies.compiled import compile_blocks
from toolmaster.processes import is_main
from toolmaster.progress import bar, training_callback
from toolmaster.provenance import write_training
from toolmaster.runs import read_trajectories
from toolmaster.training.attention import use_packed_attention
from toolmaster.training.common import (
    Log,
    MetricLines,
    base_model,
    keep_embeddings,
    lora,
    metrics_file,
    reports_in,
    save,
    train,
    trainer_arguments,
)
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.fields import make_config
from toolmaster.training.settings import SftSettings
from toolmaster.types import Trajectory


def training_rows(chat: ChatFormat, demonstrations: Sequence[Trajectory]) -> list[dict[str, Any]]:
    """One row per demonstration: `input_ids` and `labels`, both of length T; -100 is untrained."""
    rows = []
    for demonstration in demonstrations:
        ids, mask, _ = chat.render(demonstration.prompt, demonstration.tools, demonstration.steps)
        labels = [token if trained else -100 for token, trained in zip(ids, mask, strict=True)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def longest_turn(rows: Sequence[dict[str, Any]]) -> int:
    """Tokens of the longest turn that `rows`, as `training_rows` gives them, teach to write."""
    runs = (groupby(row["labels"], lambda label: label != -100) for row in rows)
    return max((len(list(run)) for row in runs for taught, run in row if taught), default=0)


def _refuse_long(
    rows: Sequence[dict[str, Any]], demonstrations: Sequence[Trajectory], model: Any
) -> None:
    """Refuse rows whose last tokens stand where the model has no positions.

    Raises:
        InputError: a demonstration is longer than the model's context.
    """
    limit = context_limit(model.config)
    lengths = [len(row["input_ids"]) for row in rows]
    if limit is None or max(lengths) <= limit:
        return
    longest = demonstrations[lengths.index(max(lengths))].task_id
    raise InputError(
        f"{sum(length > limit for length in lengths)} of {len(rows)} demonstrations have more than"
        f" the {limit} tokens that the model was made for (max_position_embeddings); the longest,"
        f" of task {longest!r}, has {max(lengths)}. Leave them out, or start from a model with a"
        " longer context"
    )


def train_sft(
    model_folder: Path,
    demonstrations: Sequence[Trajectory],
    settings: SftSettings,
    folder: Path,
    *,
    seed: int,
    log: Log,
    progress: Any = None,
) -> Path:
    """Fine-tune a model on demonstrations.

    Args:
        model_folder: the checkpoint to start from.
        demonstrations: what to learn.
        settings: how.
        folder: where checkpoints and the result go; continues from the last checkpoint there.
        seed: of the order of the data.
        log: receives the metrics of each optimizer step; first, as step 0, `longest_turn_tokens`.
        progress: an optional `TrainerCallback` that shows progress.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        InputError: no demonstrations, one that is longer than the model's context, or a model that
            cannot be loaded.
    """
    if not demonstrations:
        raise InputError("no demonstrations to train on; run the demonstrate stage first")
    tokenizer = load_tokenizer(model_folder)
    model = load_model(model_folder, "float32")
    new_tokens = add_tag_tokens(model, tokenizer)
    keep_embeddings(model, new_tokens)
    packed = use_packed_attention(model)
    rows = training_rows(ChatFormat(tokenizer), demonstrations)
    _refuse_long(rows, demonstrations, model)
    if is_main():
        log(0, {"longest_turn_tokens": longest_turn(rows)})
    ours = {**trainer_arguments(folder, seed=seed), "max_length": None, "padding_free": packed}
    arguments = make_config("sft", settings.trainer, ours)
    with reports_in(folder):
        trainer: Any = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora(settings.lora_rank, new_tokens),
            callbacks=[MetricLines(log), *([progress] if progress else [])],
        )
    trainer.remove_callback(PrinterCallback)
    if packed:
        compile_blocks(trainer.model)
        use_cpu_head(base_model(trainer.model))
    train(trainer)
    save(trainer, tokenizer, folder / "model")
    if is_main():
        write_training(
            folder / "model",
            "sft",
            model_folder,
            tasksets={t.taskset for t in demonstrations if t.taskset},
            task_ids={t.task_id for t in demonstrations},
        )
    return folder / "model"


def sft(
    model: str | Path,
    demonstrations: Sequence[Trajectory] | str | Path,
    *,
    output_dir: str | Path,
    seed: int = 0,
    lora_rank: int = 0,
    **trainer: Any,
) -> Path:
    """Fine-tune a model on demonstrations; a stopped training goes on when it is called again.

    Args:
        model: a checkpoint folder, or a model id of the Hub.
        demonstrations: what to learn: trajectories, or a JSON-lines file of them.
        output_dir: where checkpoints and the result go.
        seed: of the order of the data.
        lora_rank: 0 trains all weights; otherwise the rank of the adapters, merged at the end.
        trainer: fields of TRL's `SFTConfig`, such as `learning_rate` or `report_to`.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: a field that TRL does not have, or that is ours to set.
        InputError: no demonstrations, or a model that cannot be loaded.
    """
    given = {"trainer": trainer, "lora_rank": lora_rank}
    settings = load_config(SftSettings, None, values=given)
    if isinstance(demonstrations, str | Path):
        demonstrations = read_trajectories(Path(demonstrations))
    folder = Path(output_dir)
    with bar("sft", len(demonstrations)) as running:
        return train_sft(
            find_model(str(model)),
            demonstrations,
            settings,
            folder,
            seed=seed,
            log=metrics_file(folder),
            progress=training_callback(running),
        )
