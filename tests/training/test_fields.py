"""TRL's fields are known without TRL: names, types, and which of them are ours."""

import dataclasses
import subprocess
import sys

import pytest
from trl import GRPOConfig, SFTConfig

from toolmaster.errors import ConfigError
from toolmaster.training.fields import OURS, check_fields, known_fields

CONFIGS = {"sft": SFTConfig, "grpo": GRPOConfig}


@pytest.mark.parametrize("kind", CONFIGS)
def test_all_fields_of_trl_are_known(kind):
    declared = {field.name for field in dataclasses.fields(CONFIGS[kind]) if field.init}
    assert {name for name in declared if not name.startswith("_")} == set(known_fields(kind))
    assert set(OURS[kind]) <= declared


@pytest.mark.parametrize("kind", CONFIGS)
def test_defaults_of_trl_have_the_types_read(kind, tmp_path):
    ours = {"bf16": False, "use_cpu": True, "activation_checkpointing": False}
    config = CONFIGS[kind](output_dir=str(tmp_path), **ours)
    plain = (bool, int, float, str, list, dict, type(None))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.init and field.name not in OURS[kind] and type(value) in plain:
            if "vllm" in field.name or "batching" in field.name or "paged" in field.name:
                continue
            assert check_fields(kind, {field.name: value}) == {field.name: value}


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


def test_nothing_heavy_is_loaded():
    code = (
        "import sys; from toolmaster.training.fields import check_fields;"
        " check_fields('grpo', {'beta': 0.1});"
        " print({'torch', 'transformers', 'trl', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
