"""Sharded training: weights, gradients and optimizer states divided among the processes (FSDP2).

The user chooses it in Accelerate's configuration file, `accelerate launch --config_file FILE -m
toolmaster ...`, which reaches the processes as environment variables. Whatever needs whole weights
(the acting copy of GRPO, the saved model) takes them from `whole_weights`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType, disable_fsdp_ram_efficient_loading
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor

from toolmaster.errors import ConfigError
from toolmaster.system import processes


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def is_sharded() -> bool:
    """Return whether the processes of this training share one copy of the weights."""
    return _is_set("ACCELERATE_USE_FSDP")


def check_launch() -> None:
    """Refuse what a launcher asks for and this training was never checked with.

    Raises:
        ConfigError: the launcher's configuration cannot be used; the message says what to change.
    """
    refused = {
        "ACCELERATE_USE_DEEPSPEED": "DeepSpeed was never checked here",
        "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM cannot be used",
        "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor, context and sequence parallelism cannot be"
        " used",
    }
    mend = "use FSDP2 (distributed_type: FSDP, fsdp_version: 2), as in examples/cluster/fsdp2.yaml"
    for name, why in refused.items():
        if _is_set(name):
            raise ConfigError(f"Accelerate's configuration: {why}; {mend}")
    if not is_sharded():
        return
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ConfigError(f"Accelerate's configuration: fsdp_version is {version}; {mend}")
    if _is_set("FSDP_OFFLOAD_PARAMS"):
        raise ConfigError(
            "Accelerate's configuration: fsdp_offload_params cannot be used; set it to false"
        )
    if processes.count() < 2:
        raise ConfigError(
            "Accelerate's configuration asks for FSDP, but one process was started; give"
            " --num_processes, or leave out the configuration"
        )


def prepare_launch(fields: dict[str, Any]) -> dict[str, Any]:
    """Make Accelerate shard in the way that this training needs; nothing without sharding.

    Every process reads the whole weights: with `fsdp_cpu_ram_efficient_loading` all but the first
    would generate with, and compare with, weights that were never read.

    Args:
        fields: fields of TRL's configuration.

    Returns:
        The fields, of which some may have changed.
    """
    if not is_sharded():
        return fields
    disable_fsdp_ram_efficient_loading()
    os.environ.setdefault("FSDP_AUTO_WRAP_POLICY", "TRANSFORMER_BASED_WRAP")
    if fields["activation_checkpointing"]:  # the layers', which gathers weights only once more
        os.environ["FSDP_ACTIVATION_CHECKPOINTING"] = "true"
    return {**fields, "activation_checkpointing": False}


def finish_launch(config: Any) -> None:
    """Join the processes with TRL's configuration; the precision is ours, not the launcher's.

    Gradients are added up in float32, and log-probabilities stay float32: Accelerate would round
    both to bfloat16, which is coarser than a step of GRPO.
    """
    if not config.bf16:
        config.mixed_precision = "no"
    if not is_sharded():
        return
    dtype = torch.bfloat16 if config.bf16 else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=dtype and torch.float32)
    config.fsdp_plugin_args = {"mixed_precision_policy": policy}
    if config.device.type == "cpu":
        # PyTorch shards on CPU, but Accelerate only where it finds accelerators.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor, gathered from all processes if it is sharded; then all must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def refuse_adapted_embeddings(model: Any, lora_rank: int, new_tokens: Sequence[int]) -> None:
    """Refuse adapters on tied embeddings: PyTorch cannot shard the two layers as one weight.

    Raises:
        ConfigError: the training is sharded, and adapters would train such embeddings.
    """
    if is_sharded() and lora_rank and new_tokens and model.config.tie_word_embeddings:
        raise ConfigError(
            f"lora_rank={lora_rank} cannot be sharded here: the model's input and output embeddings"
            f" are one weight, of which {len(new_tokens)} new tokens are trained; leave out"
            " Accelerate's configuration, or set lora_rank=0"
        )


def plain_weights(trainer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name of each weight of the base model, and its whole value with adapters added.

    A tied weight is yielded once.

    The model itself does not change: merging and unmerging an adapter at each step would
    accumulate rounding errors. Weights are gathered one by one, so that no device holds them all.

    Args:
        trainer: one of TRL's trainers, perhaps with adapters and sharded weights. All processes of
            a sharded training must take every weight.
    """
    base = base_model(trainer.accelerator.unwrap_model(trainer.model))
    seen: set[int] = set()
    for name, tensor in base.state_dict(keep_vars=True).items():
        if ".lora_" in name or ".trainable_tokens_" in name or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        layer_name, adapted, _ = name.partition(".base_layer.")
        value = whole(tensor.detach())
        if adapted:
            value = _with_adapters(base.get_submodule(layer_name), name, value)
        yield name.replace(".token_adapter.", ".").replace(".base_layer.", "."), value


def _with_adapters(layer: Any, name: str, value: torch.Tensor) -> torch.Tensor:
    """Return the weight of an adapted layer with its adapters added; a bias as it is."""
    if not name.endswith(".weight"):
        return value
    for adapter in layer.active_adapters:
        if hasattr(layer, "get_delta_weight"):
            value = value + whole(layer.get_delta_weight(adapter).detach())
        else:  # new rows of an embedding
            rows = torch.tensor(layer.token_indices[adapter], device=value.device)
            value = value.index_copy(
                0, rows, whole(layer.trainable_tokens_delta[adapter].detach()).to(value)
            )
    return value


def base_model(model: Any) -> Any:
    """Return the model inside its adapters, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
