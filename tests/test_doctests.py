"""The examples in docstrings do what they show."""

import doctest
from importlib import import_module

import pytest

MODULES = (
    "toolmaster.agent",
    "toolmaster.tasksets.answers",
    "toolmaster.limits",
    "toolmaster.evaluation.intervals",
    "toolmaster.policies.loading",
    "toolmaster.policies.openai",
    "toolmaster.policies.prompt_lookup",
    "toolmaster.policies.scripted",
    "toolmaster.experience.lesson",
    "toolmaster.tools.permissions",
    "toolmaster.rollouts",
    "toolmaster.session",
    "toolmaster.tags",
    "toolmaster.tasksets.loading",
    "toolmaster.tasksets.mixture",
    "toolmaster.tasksets.task",
    "toolmaster.tasksets.taskset",
    "toolmaster.tools.functions",
    "toolmaster.training.attention",
    "toolmaster.training.grpo_trainer",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
