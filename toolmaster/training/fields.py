"""The fields of TRL's own settings, read without importing it, so that recipes parse fast.

`[sft.trainer]` takes the fields of `SFTConfig`, `[grpo.trainer]` those of `GRPOConfig`. Names and
types are read from the source of the installed TRL and Transformers; a few fields are ours to set.
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
"""What TRL calls the settings of a stage."""
_SOURCES: dict[Kind, tuple[tuple[str, str, str], ...]] = {
    "sft": (("trl", "trainer/sft_config.py", "SFTConfig"),),
    "grpo": (("trl", "trainer/grpo_config.py", "GRPOConfig"),),
}
_COMMON_SOURCES = (
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)
_TYPES = {kind.__name__: kind for kind in (bool, dict, float, int, list, str)}

_MEASURED = "evaluation is a stage of its own"
_LOADED = "the model is loaded before TRL sees it, and runs no code from the Hub"
_TOKENS = "demonstrations arrive as tokens that know whether they are trained"
_PACKED = "sequences of a batch share a row without crossing each other, where attention allows it"
_SAMPLED = "rollouts sample from the model's whole distribution; set temperature"
_IN_PROCESS = "rollouts are sampled in this process"
_KEPT = "rollouts are kept whole in trajectories.jsonl"
_BATCH = "each step has rollouts of its own: per_device_train_batch_size times"
_BATCH += " gradient_accumulation_steps of them in each process"
_COMMON = {
    "output_dir": "it follows from the folder of the run",
    "seed": "it is the seed of the run",
    "remove_unused_columns": "our columns are unknown to TRL and needed",
    "disable_tqdm": "progress is shown by toolmaster",
    "resume_from_checkpoint": "a stopped training goes on by itself",
    "do_train": "that is what the stage does",
    "gradient_checkpointing": "its name is activation_checkpointing now",
    "gradient_checkpointing_kwargs": "its name is activation_checkpointing_kwargs now",
    "use_cpu": "a GPU is used where there is one; hide it with CUDA_VISIBLE_DEVICES=",
    "use_liger_kernel": "tokens are scored by kernels that it would replace",
    **dict.fromkeys(("do_eval", "do_predict", "eval_strategy", "eval_on_start"), _MEASURED),
    **dict.fromkeys(("load_best_model_at_end", "metric_for_best_model"), _MEASURED),
    **dict.fromkeys(("model_init_kwargs", "trust_remote_code"), _LOADED),
}
OURS: dict[Kind, dict[str, str]] = {
    "sft": {
        **_COMMON,
        **dict.fromkeys(("max_length", "truncation_mode"), "no demonstration is cut"),
        **dict.fromkeys(("packing", "packing_strategy", "eval_packing", "padding_free"), _PACKED),
        **dict.fromkeys(("assistant_only_loss", "completion_only_loss"), _TOKENS),
        **dict.fromkeys(("dataset_text_field", "dataset_kwargs", "chat_template_path"), _TOKENS),
        **dict.fromkeys(("eos_token", "pad_token"), _TOKENS),
    },
    "grpo": {
        **_COMMON,
        "max_completion_length": "it is grpo.sampling.context_tokens",
        "max_tool_calling_iterations": "it is limits.max_turns",
        "reward_weights": "weights stand beside the rewards, in grpo.rewards",
        "multi_objective_aggregation": "the weighted sum of grpo.rewards is one reward",
        "shuffle_dataset": "the order of tasks follows from the seed",
        "num_generations_eval": _MEASURED,
        "chat_template_kwargs": "the chat format of rollouts is that of training",
        **dict.fromkeys(("generation_batch_size", "steps_per_generation"), _BATCH),
        **dict.fromkeys(("top_p", "top_k", "min_p", "repetition_penalty"), _SAMPLED),
        **dict.fromkeys(("generation_kwargs", "cache_implementation"), _SAMPLED),
        **dict.fromkeys(("log_completions", "log_completions_hub_repo"), _KEPT),
        **dict.fromkeys(("num_completions_to_print", "log_unique_prompts"), _KEPT),
    },
}
"""Fields that nobody else can set, and why."""


@lru_cache(maxsize=2)
def known_fields(kind: Kind) -> Mapping[str, Any]:
    """Names of the fields that TRL knows, with their types as far as they are plain."""
    found: dict[str, Any] = {}
    for package, file, name in (*_SOURCES[kind], *_COMMON_SOURCES):
        found = {**_annotations(package, file, name), **found}  # a subclass goes before its base
    return {name: kind for name, kind in found.items() if not name.startswith("_")}


def check_fields(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Hold fields against those that TRL knows and those that are ours to set.

    Args:
        kind: the stage.
        given: field to value.

    Returns:
        The same, with text that stands for a number made one.

    Raises:
        ConfigError: an unknown field, one that is ours to set, or a value of another type.
    """
    return {name: _checked(kind, name, value) for name, value in given.items()}


def _checked(kind: Kind, name: str, value: Any) -> Any:
    known = known_fields(kind)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ConfigError(f"{name!r} is no field of TRL's {NAMES[kind]}{hint}")
    reason = OURS[kind].get(name)
    if kind == "grpo" and reason is None and ("vllm" in name or "continuous_batching" in name):
        reason = _IN_PROCESS
    if reason is not None:
        raise ConfigError(f"{name!r} cannot be set: {reason}")
    try:
        found = TypeAdapter(known[name]).validate_python(value)
        return value if found == value else found  # 40, not 40.0
    except ValidationError as error:
        raise ConfigError(f"{name!r}: {first_problem(error)[1]}, received {value!r}") from None


def _annotations(package: str, file: str, name: str) -> dict[str, Any]:
    """The fields that a class in a package's source declares, with their types."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise not_installed(ModuleNotFoundError(name=package))
    source = (Path(spec.origin).parent / file).read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    found[line.target.id] = _type(line.annotation)
    return found


def _type(node: ast.expr) -> Any:
    """The type that an annotation stands for; Any where it is none of the plain ones."""
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
    """Make TRL's configuration.

    Args:
        kind: the stage.
        given: fields that `check_fields` has let pass; they go before ours of the same name.
        ours: fields that nobody else can set, and our defaults.

    Raises:
        ConfigError: values that TRL does not accept.
    """
    import trl  # noqa: PLC0415 - loads torch

    try:
        return getattr(trl, NAMES[kind])(**{**ours, **given})
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"TRL's {NAMES[kind]}: {error}") from None
