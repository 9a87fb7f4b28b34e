"""The fields of TRL's `SFTConfig` and `GRPOConfig`, and which of them a user may set.

Names and types are read from the source of the installed TRL and Transformers, so that a recipe is
checked in milliseconds: importing TRL takes five seconds of a CPU.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from toolmaster.errors import ConfigError, first_problem, not_installed

Kind = Literal["sft", "grpo"]
NAMES: dict[Kind, str] = {"sft": "SFTConfig", "grpo": "GRPOConfig"}
"""TRL's class of settings of each stage."""
_BASES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
)
_TYPES = {kind.__name__: kind for kind in (bool, dict, float, int, list, str)}

_REASONS: dict[str, dict[str, str]] = {  # fields by the reason why a user cannot set them
    "common": {
        "toolmaster sets it": "output_dir seed remove_unused_columns disable_tqdm do_train"
        " resume_from_checkpoint use_liger_kernel model_init_kwargs trust_remote_code",
        "evaluation is a separate stage": "do_eval do_predict eval_strategy eval_on_start"
        " load_best_model_at_end metric_for_best_model",
        "its name is activation_checkpointing now": "gradient_checkpointing",
        "its name is activation_checkpointing_kwargs now": "gradient_checkpointing_kwargs",
        "a GPU is used if there is one; hide it with CUDA_VISIBLE_DEVICES=": "use_cpu",
    },
    "sft": {
        "no demonstration is cut": "max_length truncation_mode",
        "sequences are packed if the model's attention allows it": "packing packing_strategy"
        " eval_packing padding_free",
        "demonstrations arrive as tokens with a mask": "assistant_only_loss completion_only_loss"
        " dataset_text_field dataset_kwargs chat_template_path eos_token pad_token",
    },
    "grpo": {
        "toolmaster sets it": "multi_objective_aggregation shuffle_dataset chat_template_kwargs",
        "evaluation is a separate stage": "num_generations_eval",
        "set grpo.sampling.context_tokens": "max_completion_length",
        "set limits.max_turns": "max_tool_calling_iterations",
        "set the weights in grpo.rewards": "reward_weights",
        "each step samples per_device_train_batch_size * gradient_accumulation_steps rollouts in"
        " each process": "generation_batch_size steps_per_generation",
        "rollouts sample from the model's whole distribution; set temperature": "top_p top_k min_p"
        " repetition_penalty generation_kwargs cache_implementation",
        "rollouts are kept whole in trajectories.jsonl": "log_completions log_unique_prompts"
        " log_completions_hub_repo num_completions_to_print",
    },
}
OURS: dict[Kind, dict[str, str]] = {
    kind: {
        field: reason
        for part in ("common", kind)
        for reason, fields in _REASONS[part].items()
        for field in fields.split()
    }
    for kind in NAMES
}
"""Fields that a user cannot set, with the reason."""


@lru_cache(maxsize=2)
def known_fields(kind: Kind) -> Mapping[str, Any]:
    """Return the type of each field that TRL knows; Any for a type that is not plain."""
    types: dict[str, Any] = {}
    for package, file, name in (*_BASES, ("trl", f"trainer/{kind}_config.py", NAMES[kind])):
        types |= _annotations(package, file, name)  # a subclass overrides its base
    return {name: type_ for name, type_ in types.items() if not name.startswith("_")}


def check_fields(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check fields for TRL; return them with numbers that were given as text converted.

    Args:
        kind: the stage.
        given: maps field names to values.

    Raises:
        ConfigError: TRL has no such field, toolmaster sets it itself, or the value has another
            type.
    """
    return {name: _checked(kind, name, value) for name, value in given.items()}


def _checked(kind: Kind, name: str, value: Any) -> Any:
    known = known_fields(kind)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ConfigError(f"{name!r} is not a field of TRL's {NAMES[kind]}{hint}")
    reason = OURS[kind].get(name)
    if kind == "grpo" and ("vllm" in name or "continuous_batching" in name):
        reason = "rollouts are sampled in this process"
    if reason is not None:
        raise ConfigError(f"{name!r} cannot be set: {reason}")
    try:
        converted = TypeAdapter(known[name]).validate_python(value)
        return value if converted == value else converted  # 40, not 40.0
    except ValidationError as error:
        raise ConfigError(f"{name!r}: {first_problem(error)[1]}, received {value!r}") from None


def _annotations(package: str, file: str, name: str) -> dict[str, Any]:
    """Return the type of each field that a class in the source of a package declares."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise not_installed(ModuleNotFoundError(name=package))
    source = (Path(spec.origin).parent / file).read_text(encoding="utf-8")
    types: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    types[line.target.id] = _type(line.annotation)
    return types


def _type(node: ast.expr) -> Any:
    """Return the type of an annotation; Any if it is not a plain one."""
    match node:
        case ast.Name(id=name):
            return _TYPES.get(name, Any)
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type(left) | _type(right)
        case ast.Subscript(value=value):
            return _type(value)
        case _:
            return Any


def make_config(kind: Kind, given: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    """Return TRL's configuration.

    Args:
        kind: the stage.
        given: fields that `check_fields` has returned; they override `ours`.
        ours: fields that toolmaster sets, and its defaults.

    Raises:
        ConfigError: TRL does not accept a value.
    """
    import trl  # noqa: PLC0415 - loads torch

    try:
        return getattr(trl, NAMES[kind])(**{**ours, **given})
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"TRL's {NAMES[kind]}: {error}") from None
