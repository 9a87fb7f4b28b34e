"""TRL's own settings: which fields there are, and which of them are ours to set."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from toolmaster.errors import ConfigError

OURS = {
    "output_dir": "the run's folder holds the checkpoints; give run=FOLDER or output_dir=FOLDER",
    "seed": "give seed=N to the run",
    "remove_unused_columns": "rollouts travel in columns that TRL does not know",
    "max_length": "demonstrations are never cut",
    "padding_free": "it follows from the model's attention",
    "packing": "sequences of a step are packed already, without crossing each other",
    "assistant_only_loss": "the loss is on what the assistant wrote, always",
    "completion_only_loss": "the loss is on what the assistant wrote, always",
    "max_completion_length": "give grpo.sampling.context_tokens=N",
    "use_vllm": "rollouts are sampled in this process",
    "shuffle_dataset": "the order of tasks follows from the seed",
    "generation_batch_size": "it follows from per_device_train_batch_size and"
    " gradient_accumulation_steps",
    "steps_per_generation": "it is gradient_accumulation_steps",
    "reward_weights": "weights stand beside the rewards",
    "disable_tqdm": "progress is shown by the command",
}
"""Fields that a recipe cannot set, and why or what to set in their place."""


def check_fields(config: type[Any], given: Mapping[str, Any], where: str) -> None:
    """Refuse fields that TRL's configuration does not have, or that are ours to set.

    Args:
        config: `SFTConfig` or `GRPOConfig`.
        given: what a recipe or a call says.
        where: what the message calls the place, such as "sft.trainer".

    Raises:
        ConfigError: an unknown field, with the closest known ones, or one that is ours to set.
    """
    known = {field.name for field in dataclasses.fields(config) if field.init}
    for name in given:
        if name in OURS:
            raise ConfigError(f"{where}.{name} cannot be set: {OURS[name]}")
        if name not in known:
            close = difflib.get_close_matches(name, known - OURS.keys(), n=3)
            hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
            raise ConfigError(f"{where}.{name}: {config.__name__} of TRL has no such field{hint}")


def make_config(config: type[Any], where: str, given: Mapping[str, Any], ours: Any) -> Any:
    """Make TRL's configuration of what is given and what is ours.

    Raises:
        ConfigError: a field that cannot be set, or a value that TRL does not accept.
    """
    check_fields(config, given, where)
    try:
        return config(**{**ours, **given})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from None
