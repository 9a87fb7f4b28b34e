"""Checks of the fields that a user gives for TRL's `SFTConfig` and `GRPOConfig`; imports TRL."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_type_hints

import trl
from pydantic import TypeAdapter, ValidationError

from toolmaster.errors import ConfigError, first_problem
from toolmaster.training.sharding import check_launch, finish_launch, prepare_launch

Kind = Literal["sft", "grpo"]

_REFUSED = {  # fields by the reason why a user cannot set them
    "toolmaster sets it": "output_dir seed remove_unused_columns disable_tqdm do_train"
    " resume_from_checkpoint use_liger_kernel model_init_kwargs trust_remote_code"
    " multi_objective_aggregation chat_template_kwargs shuffle_dataset",
    "give it in Accelerate's configuration file, accelerate launch --config_file FILE": "fsdp"
    " fsdp_config deepspeed parallelism_config",
    "evaluation is a stage of its own": "do_eval do_predict eval_strategy eval_on_start"
    " load_best_model_at_end metric_for_best_model num_generations_eval",
    "its name is activation_checkpointing now": "gradient_checkpointing",
    "its name is activation_checkpointing_kwargs now": "gradient_checkpointing_kwargs",
    "a GPU is used if there is one; hide it with CUDA_VISIBLE_DEVICES=": "use_cpu",
    "no demonstration is cut": "max_length truncation_mode",
    "sequences are packed if the model's attention allows it": "packing packing_strategy"
    " eval_packing padding_free",
    "demonstrations arrive as tokens with a mask": "assistant_only_loss completion_only_loss"
    " dataset_text_field dataset_kwargs chat_template_path eos_token pad_token",
    "set grpo.sampling.context_tokens": "max_completion_length",
    "set limits.max_turns": "max_tool_calling_iterations",
    "set the weights in grpo.rewards": "reward_weights",
    "each step samples per_device_train_batch_size * gradient_accumulation_steps rollouts in each"
    " process": "generation_batch_size steps_per_generation",
    "rollouts sample from the model's whole distribution; set temperature": "top_p top_k min_p"
    " repetition_penalty generation_kwargs cache_implementation",
    "rollouts are kept whole in trajectories.jsonl": "log_completions log_unique_prompts"
    " log_completions_hub_repo num_completions_to_print",
}
REFUSED = {field: reason for reason, fields in _REFUSED.items() for field in fields.split()}
"""Fields that a user cannot set, with the reason."""


def check_fields(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stage after a check; text that stands for a number becomes one.

    Raises:
        ConfigError: TRL has no such field, toolmaster sets it itself, the value has another type,
            or the launcher's configuration cannot be used.
    """
    check_launch()
    known = get_type_hints(_class(kind))
    return {name: _checked(kind, known, name, value) for name, value in given.items()}


def _class(kind: Kind) -> Any:
    return trl.SFTConfig if kind == "sft" else trl.GRPOConfig


def _checked(kind: Kind, known: Mapping[str, Any], name: str, value: Any) -> Any:
    where = f"{kind}.trainer: {name!r}"
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"{where} is not a field of TRL's {_class(kind).__name__}{hint}")
    if reason := REFUSED.get(name):
        raise ConfigError(f"{where} cannot be set: {reason}")
    if kind == "grpo" and ("vllm" in name or "continuous_batching" in name):
        raise ConfigError(f"{where} cannot be set: rollouts are sampled in this process")
    try:
        found = TypeAdapter(known[name]).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_problem(error)[1]}, received {value!r}") from None
    return value if found == value else found  # 40, not 40.0


def make_config(kind: Kind, given: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    """Return TRL's configuration: the checked fields that are given, and else `ours`.

    In a training with several processes this joins them.

    Raises:
        ConfigError: TRL does not accept a value.
    """
    fields = prepare_launch({**ours, **given})
    try:
        config = _class(kind)(**fields)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"TRL's {_class(kind).__name__}: {error}") from None
    finish_launch(config)
    return config
