"""What both trainers share: quiet, offline Trainer arguments, metric lines, resuming, saving."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import TrainerCallback
from transformers.utils import logging as hf_logging

from toolmaster.models import fast_dtype
from toolmaster.processes import is_main
from toolmaster.runs import CHECKPOINTS, append_line

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

Log = Callable[[int, dict[str, Any]], None]
"""Receives an optimizer step and its metrics."""


def trainer_arguments(folder: Path, *, seed: int) -> dict[str, Any]:
    """Arguments that every training stage passes to its TRL configuration."""
    on_cpu = not torch.cuda.is_available()
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "seed": seed,
        "bf16": fast_dtype() == "bfloat16",
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "activation_checkpointing": False,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "report_to": "none",
        "run_name": "/".join(folder.parts[-2:]),
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,
    }


@contextmanager
def reports_in(folder: Path) -> Iterator[None]:
    """A trainer made inside writes its TensorBoard files here, unless the environment says where.

    By itself it would write them among the checkpoints, which are removed in the end.
    """
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(folder / "tensorboard")
    try:
        yield
    finally:
        del os.environ[name]


def lora(rank: int, new_tokens: Sequence[int] = ()) -> LoraConfig | None:
    """Adapters on all linear layers, and the embeddings of new tokens; None for rank 0."""
    if rank == 0:
        return None
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices=list(new_tokens) or None,
        task_type="CAUSAL_LM",
    )


def base_model(model: Any) -> Any:
    """The model itself, without adapters around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def keep_embeddings(model: Any, new_tokens: Sequence[int] = ()) -> None:
    """Train no embedding but those of new tokens.

    Adam moves a weight by about the learning rate a step, however small its gradient: the
    embeddings of all tokens that training never shows would be pushed one way, away from what is
    written, and names made of them could be copied no more.

    Args:
        model: a causal language model before training; its input and output embeddings, tied or
            not, get a hook, or no gradient at all where there are no new tokens.
        new_tokens: ids of the tokens to train.
    """
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    rows = torch.tensor(new_tokens, dtype=torch.long)

    def of_new_tokens(gradient: torch.Tensor) -> torch.Tensor:  # (V, H)
        kept = torch.zeros_like(gradient)
        kept[rows] = gradient[rows]
        return kept

    for weight in {layer.weight for layer in layers if layer is not None}:  # one where tied
        if new_tokens:
            weight.register_hook(of_new_tokens)
        else:
            weight.requires_grad_(requires_grad=False)


def metrics_file(folder: Path) -> Log:
    """A `Log` that appends to `metrics.jsonl` in a folder, in the main process."""

    def log(step: int, values: dict[str, Any]) -> None:
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            append_line(folder / "metrics.jsonl", {"step": step, **values})

    return log


class MetricLines(TrainerCallback):
    """Hands the numbers of each step to `log`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Called by the Trainer."""
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            numbers = {k: v for k, v in logs.items() if isinstance(v, int | float)}
            self._log(state.global_step, numbers)


def train(trainer: Any) -> None:
    """Train from the last whole checkpoint if there is one, else from the start."""
    last = last_checkpoint(Path(trainer.args.output_dir))
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=None if last is None else str(last))


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of libraries about what is meant: tied heads, rollouts that have no reward."""
    trl = logging.getLogger("trl")
    level, verbosity = trl.level, hf_logging.get_verbosity()
    trl.setLevel(logging.ERROR)
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        trl.setLevel(level)
        hf_logging.set_verbosity(verbosity)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the most steps that a kill has not left half-written."""
    whole: dict[int, Path] = {}
    for state in folder.glob("checkpoint-*/trainer_state.json"):  # what the Trainer writes last
        with suppress(ValueError):
            whole[int(json.loads(state.read_bytes())["global_step"])] = state.parent
    return whole[max(whole)] if whole else None


def save(trainer: Any, tokenizer: Any, folder: Path) -> None:
    """Write an ordinary Transformers checkpoint, adapters merged, in the float32 of training.

    Rounded to bfloat16, weights lie on a grid of which a few steps of GRPO leave hardly a point.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    if trainer.accelerator.is_main_process:
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        model.config.use_cache = True
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    trainer.accelerator.wait_for_everyone()
