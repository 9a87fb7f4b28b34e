"""Names of models: prefixes, and the prefix that a hosted model lacks."""

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.policies.base import Sampling
from toolmaster.policies.loading import check_model, load_policy
from toolmaster.policies.names import EndpointModel, check_prefix, endpoint_model


@pytest.mark.parametrize(("model", "found"), [
    ("openai:gpt-4o", EndpointModel("", "gpt-4o")),
    ("openai:qwen3:8b", EndpointModel("", "qwen3:8b")),
    ("openai:openai/gpt-4o", EndpointModel("", "openai/gpt-4o")),
    ("anthropic:claude-x", EndpointModel("anthropic", "claude-x")),
    ("openrouter:anthropic/claude-x", EndpointModel("openrouter", "anthropic/claude-x")),
    ("Qwen/Qwen3-0.6B", None),
    ("hf:Qwen/Qwen3-0.6B", None),
    ("replay:calls.jsonl", None),
    ("runs/a:b", None),
    (r"C:\models\mine", None),
])  # fmt: skip
def test_prefixes(model, found):
    assert endpoint_model(model) == found


@pytest.mark.parametrize(("model", "written"), [
    ("gpt-4o", "openai:gpt-4o"),
    ("gpt-5.1-mini", "openai:gpt-5.1-mini"),
    ("openai/gpt-4.1", "openai:gpt-4.1"),
    ("o3-mini", "openai:o3-mini"),
    ("claude-opus-4-7", "anthropic:claude-opus-4-7"),
    ("anthropic/claude-sonnet-4-5", "anthropic:claude-sonnet-4-5"),
    ("gemini-3-pro", "gemini:gemini-3-pro"),
    ("google/gemini-2.5-flash", "gemini:gemini-2.5-flash"),
    ("mistral-large-latest", "mistral:mistral-large-latest"),
    ("deepseek-chat", "deepseek:deepseek-chat"),
    ("grok-4", "xai:grok-4"),
])  # fmt: skip
def test_a_prefix_that_is_missing(model, written):
    with pytest.raises(InputError, match=rf"for a model behind an endpoint {written}\b"):
        check_model(model)


@pytest.mark.parametrize("model", [
    "Qwen/Qwen3-0.6B", "openai/gpt-oss-20b", "openai-community/gpt2", "google/gemma-3-1b-it",
    "mistralai/Mistral-7B-Instruct-v0.3", "deepseek-ai/DeepSeek-V3", "runs/claude-student",
])  # fmt: skip
def test_models_of_the_hub_and_folders(model):
    check_prefix(model)


def test_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt-mine").mkdir()
    check_model("gpt-mine")


def test_an_address_for_a_model_that_is_behind_none():
    with pytest.raises(ConfigError, match=r"write openai:Qwen/Qwen3-0\.6B"):
        load_policy("Qwen/Qwen3-0.6B", Sampling(), base_url="http://localhost:8000/v1")
