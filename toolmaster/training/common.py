"""What SFT and GRPO share: arguments of TRL, metric lines, resuming, saving."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging as hf_logging

from toolmaster.errors import ConfigError, InputError
from toolmaster.models.checkpoints import fast_dtype
from toolmaster.models.provenance import write_training
from toolmaster.policies.compiled import compile_blocks
from toolmaster.progress import tell
from toolmaster.runs import CHECKPOINTS, append_line
from toolmaster.system import processes
from toolmaster.system.processes import is_main
from toolmaster.training.cpu_head import use_cpu_head
from toolmaster.training.memory import machine_bytes, read_shape, refuse_what_cannot_fit
from toolmaster.training.settings import Trained
from toolmaster.training.sharding import base_model, is_sharded, plain_weights

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

Log = Callable[[int, dict[str, Any]], None]
"""Called with an optimizer step and its metrics."""


def trainer_arguments(folder: Path, settings: Trained, *, seed: int) -> dict[str, Any]:
    """Return the fields that both stages set in TRL's configuration."""
    on_cpu = not torch.cuda.is_available()
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "seed": seed,
        "bf16": settings.weights == "float32" and fast_dtype() == "bfloat16",
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


def refuse_too_large(start: Path, settings: Trained) -> None:
    """Refuse a training that its device cannot hold, before anything is loaded.

    Raises:
        ConfigError: the device has less memory than the training holds all the time.
    """
    try:
        shape = read_shape(start)
    except InputError:  # an architecture whose memory is not known here
        return
    gpu = torch.cuda.is_available()
    device_bytes = torch.cuda.mem_get_info()[1] if gpu else machine_bytes()
    refuse_what_cannot_fit(
        shape, settings, device_bytes, devices=processes.count(), sharded=is_sharded()
    )


@contextmanager
def reports_in(folder: Path) -> Iterator[None]:
    """Make a trainer that is created inside write its TensorBoard files to `folder`/tensorboard.

    Otherwise it would write them beside the checkpoints, which are removed at the end. The
    environment variable TENSORBOARD_LOGGING_DIR takes precedence.
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
    """Return LoRA on all linear layers and on the embeddings of new tokens; None for rank 0."""
    if rank == 0:
        return None
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices=list(new_tokens) or None,
        task_type="CAUSAL_LM",
    )


def speed_up(trainer: Any, *, temperature: float = 1.0, entropy: bool = False) -> None:
    """Compile a trainer's model and give it the fast head for CPU; needs packed attention.

    Args:
        trainer: one of TRL's trainers; its model, and its reference model if it has one, change.
        temperature: see `cpu_head.use_cpu_head`.
        entropy: see `cpu_head.use_cpu_head`.
    """
    if trainer.accelerator.device.type != "cpu":
        return
    if not is_sharded():  # the compiler takes the gathered weights of each step for new ones
        compile_blocks(trainer.model)
    use_cpu_head(base_model(trainer.model), temperature=temperature, entropy=entropy)
    reference = getattr(trainer, "ref_model", None)
    if reference is not None:
        use_cpu_head(trainer.accelerator.unwrap_model(reference), temperature=temperature)


def freeze_embeddings(model: Any, new_tokens: Sequence[int] = ()) -> None:
    """Freeze all input and output embeddings except those of new tokens.

    Adam moves a weight by about the learning rate in each step, however small its gradient is. The
    embeddings of tokens that training never shows would all drift the same way, and the model
    could no longer copy names made of them.

    Args:
        model: a causal language model before training, with tied embeddings or not.
        new_tokens: ids of the tokens whose embeddings are trained.
    """
    inner, head = model.get_input_embeddings(), model.get_output_embeddings()
    if not new_tokens:
        for layer in filter(None, (inner, head)):
            layer.weight.requires_grad_(requires_grad=False)
        return
    rows = torch.tensor(new_tokens, dtype=torch.long)
    masked: set[int] = set()

    def of_new_tokens(gradient: torch.Tensor) -> torch.Tensor:  # (V, H)
        own = torch.zeros_like(gradient)
        own[rows] = gradient[rows]
        return own

    def mask(weight: torch.Tensor) -> None:
        if weight.requires_grad and id(weight) not in masked:  # a tied weight has two layers
            masked.add(id(weight))
            weight.register_hook(of_new_tokens)

    # Not masked here: sharding puts another parameter in place of this one, whole only in a forward
    # pass. Fused heads do not call the head's layer: its weight is masked after the base model.
    inner.register_forward_pre_hook(lambda layer, _inputs: mask(layer.weight))
    if head is not None:
        model.base_model.register_forward_hook(lambda *_: mask(head.weight))


def metrics_file(folder: Path) -> Log:
    """Return a `Log` that appends to `metrics.jsonl` in a folder, in the main process."""

    def log(step: int, values: dict[str, Any]) -> None:
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
            append_line(folder / "metrics.jsonl", {"step": step, **values})

    return log


class MetricLines(TrainerCallback):
    """Passes the numbers of each step to a `Log`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Called by the Trainer."""
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            numbers = {k: v for k, v in logs.items() if isinstance(v, int | float)}
            self._log(state.global_step, numbers)


def train(trainer: Any) -> None:
    """Train, from the last complete checkpoint if there is one.

    Raises:
        ConfigError: the checkpoint is of a sharded training and this one is not, or the reverse.
    """
    if is_sharded() and not trainer.is_fsdp_enabled:
        raise RuntimeError("Accelerate did not shard this training, though it was told to")
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(Path(trainer.args.output_dir))
    if last is not None:
        if is_sharded() != any(last.glob("pytorch_model_fsdp*")):
            now, then = ("sharded", "whole") if is_sharded() else ("whole", "sharded")
            raise ConfigError(
                f"{last} was written with {then} weights, and this training has {now} ones; start"
                f" it as it was started before, or remove {last.parent}"
            )
        tell(f"training continues from {last}; to start afresh, remove {last.parent}")
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=None if last is None else str(last))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about tied heads and rollouts without a reward, which are intended."""
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
    """Return the latest checkpoint that was written completely; None if there is none."""
    whole: dict[int, Path] = {}
    for state in folder.glob("checkpoint-*/trainer_state.json"):  # the last file of a checkpoint
        with suppress(ValueError):
            whole[int(json.loads(state.read_bytes())["global_step"])] = state.parent
    return whole[max(whole)] if whole else None


def save(
    trainer: Any,
    tokenizer: Any,
    folder: Path,
    *,
    stage: str,
    start: Path,
    tasksets: Iterable[str],
    task_ids: Iterable[str],
) -> Path:
    """Write an ordinary Transformers checkpoint with adapters merged; return its folder.

    It is saved in float32: an update at the learning rates of RL is smaller than the spacing of
    bfloat16, so casting would discard most of it.

    Args:
        trainer: the trainer, after training.
        tokenizer: its tokenizer.
        folder: the stage's folder; the checkpoint goes into `folder`/model.
        stage: "sft" or "grpo".
        start: the model folder that this training started from.
        tasksets: labels of the task sets trained on.
        task_ids: ids of the tasks trained on.
    """
    folder = folder / "model"
    write_model(trainer, tokenizer, folder)
    if is_main():
        write_training(folder, stage, start, tasksets=tasksets, task_ids=task_ids)
    trainer.accelerator.wait_for_everyone()
    return folder


def write_model(trainer: Any, tokenizer: Any, folder: Path) -> None:
    """Write the trained model, whole and with adapters merged; all processes must call this."""
    weights = {}
    for name, value in plain_weights(trainer):
        if is_main():
            weights[name] = value.cpu()
    if is_main():
        model = base_model(trainer.accelerator.unwrap_model(trainer.model))
        model.config.use_cache = True
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)
