"""Supervised fine-tuning on demonstrations, through TRL's `SFTTrainer`.

`ChatFormat` tokenizes demonstrations and rollouts alike, so no mask is recovered from text. Weights
are float32, with bfloat16 autocast where the hardware supports it; sequences are packed without
padding if the model's attention allows it; logits are computed for trained tokens only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTTrainer

from toolmaster.chat import ChatFormat
from toolmaster.config import load_config
from toolmaster.errors import InputError
from toolmaster.models.checkpoints import (
    add_tag_tokens,
    context_limit,
    find_model,
    load_model,
    load_tokenizer,
)
from toolmaster.progress import bar, training_callback
from toolmaster.runs import read_trajectories
from toolmaster.system.processes import is_main
from toolmaster.training.attention import use_packed_attention
from toolmaster.training.common import (
    Log,
    MetricLines,
    freeze_embeddings,
    lora,
    metrics_file,
    refuse_too_large,
    reports_in,
    save,
    speed_up,
    train,
    trainer_arguments,
)
from toolmaster.training.fields import check_fields, make_config
from toolmaster.training.settings import SftSettings
from toolmaster.training.sharding import refuse_adapted_embeddings
from toolmaster.types import Trajectory


def training_rows(chat: ChatFormat, demonstrations: Sequence[Trajectory]) -> list[dict[str, Any]]:
    """Return a row per demonstration: `input_ids` and `labels`, of length T; -100 is untrained."""
    rows = []
    for demonstration in demonstrations:
        ids, mask, _ = chat.render(demonstration.prompt, demonstration.tools, demonstration.steps)
        labels = [token if trained else -100 for token, trained in zip(ids, mask, strict=True)]
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def longest_turn(rows: Sequence[dict[str, Any]]) -> int:
    """Return the number of tokens of the longest trained turn in `training_rows`."""
    spans = (groupby(row["labels"], lambda label: label != -100) for row in rows)
    return max((len(list(span)) for row in spans for trained, span in row if trained), default=0)


def _refuse_long(
    rows: Sequence[dict[str, Any]], demonstrations: Sequence[Trajectory], model: Any
) -> None:
    """Refuse rows with more tokens than the model has positions.

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
    model: str | Path,
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
        model: the checkpoint to start from, as `find_model` takes it.
        demonstrations: the trajectories to learn from.
        settings: fields of TRL and the rank of adapters.
        folder: where checkpoints and the result go; a stopped training continues from the last
            checkpoint there.
        seed: seed of the order of the data.
        log: called with the metrics of each optimizer step, and before the first one, as step 0,
            with `longest_turn_tokens`.
        progress: a `TrainerCallback` that shows progress, or None.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: a field that TRL does not have, or that toolmaster sets itself.
        InputError: no demonstrations, one that is longer than the model's context, or a model that
            cannot be loaded.
    """
    if not demonstrations:
        raise InputError("no demonstrations to train on; run the demonstrate stage first")
    fields = check_fields("sft", settings.trainer)
    start = find_model(str(model))
    refuse_too_large(start, settings)
    tokenizer = load_tokenizer(start)
    trained = load_model(start, settings.weights, on_gpu=False)
    new_tokens = add_tag_tokens(trained, tokenizer)
    refuse_adapted_embeddings(trained, settings.lora_rank, new_tokens)
    freeze_embeddings(trained, new_tokens)
    packed = use_packed_attention(trained)
    rows = training_rows(ChatFormat(tokenizer), demonstrations)
    _refuse_long(rows, demonstrations, trained)
    if is_main():
        log(0, {"longest_turn_tokens": longest_turn(rows)})
    ours = {
        **trainer_arguments(folder, settings, seed=seed),
        "max_length": None,
        "padding_free": packed,
    }
    arguments = make_config("sft", fields, ours)
    with reports_in(folder):
        trainer: Any = SFTTrainer(
            model=trained,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=lora(settings.lora_rank, new_tokens),
            callbacks=[MetricLines(log), *([progress] if progress else [])],
        )
    if packed:
        speed_up(trainer)
    train(trainer)
    return save(
        trainer,
        tokenizer,
        folder,
        stage="sft",
        start=start,
        tasksets={t.taskset for t in demonstrations if t.taskset},
        task_ids={t.task_id for t in demonstrations},
    )


def sft(
    model: str | Path,
    demonstrations: Sequence[Trajectory] | str | Path,
    *,
    output_dir: str | Path,
    seed: int = 0,
    lora_rank: int = 0,
    **trainer: Any,
) -> Path:
    """Fine-tune a model on demonstrations; called again, it continues a stopped training.

    Args:
        model: a checkpoint folder, or a model id of the Hub.
        demonstrations: trajectories to learn from, or a JSON-lines file of them.
        output_dir: where checkpoints and the result go.
        seed: seed of the order of the data.
        lora_rank: 0 trains all weights; otherwise the rank of the adapters, merged at the end.
        trainer: fields of TRL's `SFTConfig`, such as `learning_rate` or `report_to`.

    Returns:
        The folder of the trained model, an ordinary Transformers checkpoint.

    Raises:
        ConfigError: TRL does not have a field, or toolmaster sets it itself.
        InputError: there are no demonstrations, or the model cannot be loaded.

    Example:
        >>> sft("Qwen/Qwen3-0.6B", "demos.jsonl", output_dir="runs/sft")  # doctest: +SKIP
        PosixPath('runs/sft/model')
    """
    given = {"trainer": trainer, "lora_rank": lora_rank}
    settings = load_config(SftSettings, None, values=given)
    if isinstance(demonstrations, str | Path):
        demonstrations = read_trajectories(Path(demonstrations))
    folder = Path(output_dir)
    with bar("sft", len(demonstrations)) as running:
        return train_sft(
            model,
            demonstrations,
            settings,
            folder,
            seed=seed,
            log=metrics_file(folder),
            progress=training_callback(running),
        )
