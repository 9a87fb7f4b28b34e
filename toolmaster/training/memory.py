"""The memory that training takes on each device, from the shapes of a model; imports no torch.

GB are 10^9 bytes. What a training holds all the time is exact; activations are an estimate.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolmaster.errors import ConfigError, InputError
from toolmaster.training.settings import GrpoSettings, SftSettings, Trained

GB = 10**9
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a causal language model with grouped-query attention."""

    vocabulary: int
    hidden: int
    inner: int
    """Width of the feed-forward blocks."""
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    """Whether the input and output embeddings are one weight."""

    @property
    def embeddings(self) -> int:
        """Number of weights of the input and output embeddings."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def layer(self) -> int:
        """Number of weights of one layer, without its norms."""
        projections = 2 * (self.heads + self.kv_heads) * self.head_dim
        return self.hidden * (projections + 3 * self.inner)

    @property
    def parameters(self) -> int:
        """Number of weights, without the norms."""
        return self.embeddings + self.layers * self.layer

    def adapters(self, rank: int) -> int:
        """Return the number of weights of LoRA adapters on all linear layers."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        ends = 2 * (self.hidden + queries) + 2 * (self.hidden + keys)
        return self.layers * rank * (ends + 3 * (self.hidden + self.inner))


SHAPES = {
    "0.6B": Shape(151_936, 1024, 3072, 28, 16, 8, 128, tied=True),
    "1.7B": Shape(151_936, 2048, 6144, 28, 16, 8, 128, tied=True),
    "4B": Shape(151_936, 2560, 9728, 36, 32, 8, 128, tied=True),
    "7B": Shape(152_064, 3584, 18_944, 28, 28, 4, 128, tied=False),
    "14B": Shape(151_936, 5120, 17_408, 40, 40, 8, 128, tied=False),
}
"""Shapes of Qwen3 (0.6B, 1.7B, 4B, 14B) and Qwen2.5 (7B)."""


def read_shape(folder: Path) -> Shape:
    """Return the shape of a checkpoint from its `config.json`.

    Raises:
        InputError: the file cannot be read, or is not that of such a model.
    """
    file = folder / "config.json"
    try:
        held: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        held = held.get("text_config", held)
        heads = int(held["num_attention_heads"])
        return Shape(
            int(held["vocab_size"]),
            int(held["hidden_size"]),
            int(held["intermediate_size"]),
            int(held["num_hidden_layers"]),
            heads,
            int(held.get("num_key_value_heads") or heads),
            int(held.get("head_dim") or int(held["hidden_size"]) // heads),
            tied=bool(held.get("tie_word_embeddings")),
        )
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        told = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} does not tell the shapes of the model: {told}") from None


def held_bytes(
    shape: Shape, settings: Trained, *, devices: int = 1, sharded: bool = False
) -> dict[str, int]:
    """Return the bytes that one device holds during a whole training, by what they are for.

    Args:
        shape: the model.
        settings: those of `sft` or `grpo`.
        devices: the number of devices, one process each.
        sharded: whether the devices share one copy (FSDP2).
    """
    size, share = _BYTES[settings.weights], devices if sharded else 1
    grpo = isinstance(settings, GrpoSettings)
    trained = shape.parameters - (shape.embeddings if grpo else 0)
    trained_size = size
    if settings.lora_rank:
        trained, trained_size = shape.adapters(settings.lora_rank), 4
    held = {
        "weights": size * shape.parameters // share,
        # Between processes that do not share, gradients are added up in buffers of their size.
        "gradients": trained_size * trained // share * (2 if devices > share else 1),
        "optimizer": 2 * trained_size * trained // share,
    }
    if isinstance(settings, GrpoSettings):
        if settings.policy is None:  # otherwise servers generate
            room = settings.sampling
            pairs = 2 * shape.layers * shape.kv_heads * shape.head_dim
            held["acting copy"] = 2 * shape.parameters
            held["key-value cache"] = 2 * pairs * room.slots * room.context_tokens
        if settings.trainer["beta"] and not settings.lora_rank:
            held["reference"] = size * shape.parameters // share
    return held


def step_bytes(
    shape: Shape, settings: SftSettings | GrpoSettings, *, tokens: int, sharded: bool
) -> int:
    """Return an estimate of what one forward and backward pass takes besides.

    The head works in tiles, so logits are not counted; on CPU it holds those of the trained tokens
    (`logits_bytes`).

    Args:
        shape: the model.
        settings: those of `sft` or `grpo`.
        tokens: number of tokens of one batch on one device.
        sharded: whether weights are gathered for each layer.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    # Inputs of the norms in float32, the rest in bfloat16.
    of_layer = 16 * shape.hidden + 2 * (3 * queries + 4 * keys) + 8 * shape.inner
    if settings.trainer.get("activation_checkpointing"):
        activations = tokens * (4 * shape.hidden * shape.layers + of_layer)
    else:
        activations = tokens * of_layer * shape.layers
    rounded = 2 * shape.parameters if settings.weights == "float32" else 0
    if sharded:  # two layers and the embeddings
        rounded = 2 * (2 * shape.layer + shape.embeddings)
        if isinstance(settings, GrpoSettings) and settings.trainer["beta"]:
            rounded = max(rounded, 2 * shape.parameters)  # the reference is gathered as one
    return activations + rounded


def logits_bytes(shape: Shape, trained_tokens: int) -> int:
    """Return what the head takes on CPU: logits and their gradients, in bfloat16."""
    return 2 * 2 * trained_tokens * shape.vocabulary


def batch_tokens(settings: SftSettings | GrpoSettings, longest: int) -> int:
    """Return the most tokens of one batch on one device."""
    batch: int = settings.trainer["per_device_train_batch_size"]
    return batch * longest


def refuse_what_cannot_fit(
    shape: Shape, settings: Trained, device_bytes: int, *, devices: int, sharded: bool
) -> None:
    """Refuse a training that holds more than its device has, before the first step.

    Raises:
        ConfigError: it does; names the machine and what takes the memory.
    """
    held = held_bytes(shape, settings, devices=devices, sharded=sharded)
    if sum(held.values()) <= device_bytes:
        return
    parts = ", ".join(f"{name} {size / GB:.1f}" for name, size in held.items())
    raise ConfigError(
        f"{socket.gethostname()}: this training holds {sum(held.values()) / GB:.1f} GB on each"
        f" device ({parts}), which has {device_bytes / GB:.1f} GB; shard it over more devices"
        " (Accelerate's configuration with FSDP2), or set lora_rank, weights=bfloat16 or fewer"
        " sampling.slots; see `toolmaster plan`"
    )


def machine_bytes() -> int:
    """Return the memory of this machine, for each of its processes of one training."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return whole // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
