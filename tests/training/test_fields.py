"""Fields for TRL: names, types, and which of them toolmaster sets itself."""

import dataclasses

import pytest
from trl import GRPOConfig, SFTConfig

from toolmaster.errors import ConfigError
from toolmaster.training.fields import REFUSED, check_fields


def test_every_refused_field_is_one_of_trl():
    fields = {f.name for config in (SFTConfig, GRPOConfig) for f in dataclasses.fields(config)}
    assert set(REFUSED) <= fields


def test_values_get_their_types():
    given = {"learning_rate": "1e-4", "max_steps": 3, "report_to": ["tensorboard"], "optim": "sgd"}
    assert check_fields("grpo", given) == {**given, "learning_rate": 1e-4}
    assert str(check_fields("sft", {"save_steps": 40})) == "{'save_steps': 40}"
    assert check_fields("sft", {"lr_scheduler_kwargs": {"num_cycles": 2}})


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("sft", {"learning_rat": 1}, "'learning_rat' is not a field of TRL's SFTConfig; did you"),
        ("sft", {"beta": 0.1}, "'beta' is not a field of TRL's SFTConfig"),
        ("grpo", {"max_step": 3}, "did you mean 'max_steps'"),
        ("grpo", {"max_steps": "many"}, "'max_steps': Input should be a valid integer.* 'many'"),
        ("grpo", {"learning_rate": [1]}, "'learning_rate': Input should be a valid number"),
        ("grpo", {"use_vllm": True}, "'use_vllm' cannot be set: rollouts are sampled in this"),
        ("grpo", {"vllm_mode": "server"}, "rollouts are sampled in this process"),
        ("grpo", {"top_p": 0.9}, "'top_p' cannot be set: .* set temperature"),
        ("grpo", {"max_completion_length": 9}, r"set grpo\.sampling\.context_tokens"),
        ("sft", {"output_dir": "x"}, "'output_dir' cannot be set: toolmaster sets it"),
        ("sft", {"packing": True}, "'packing' cannot be set"),
    ],
)
def test_what_is_refused(kind, given, message):
    with pytest.raises(ConfigError, match=message):
        check_fields(kind, given)
