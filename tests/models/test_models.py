"""Models: every way of not having one is one clear message."""

import shutil

import pytest
import torch
from transformers import AutoConfig

from toolmaster.errors import InputError
from toolmaster.models.checkpoints import (
    fast_dtype,
    find_model,
    fit_context,
    lasting_name,
    load_model,
    load_tokenizer,
    read_config,
)
from toolmaster.policies.base import Sampling
from toolmaster.policies.loading import load_checkpoint


def test_a_checkpoint_folder(tiny_folder):
    assert find_model(str(tiny_folder)) == find_model(f"hf:{tiny_folder}") == tiny_folder
    assert lasting_name(tiny_folder) == str(tiny_folder)


@pytest.mark.parametrize("name", ["", "gpt2", "runs", "a/b/c", "a/b@", "/nowhere/model"])
def test_what_is_neither_a_folder_nor_an_id(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match=r"is not a checkpoint folder .*or OWNER/NAME@REVISION"):
        find_model(name)


def test_a_folder_that_looks_like_an_id_is_not_sought_at_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "sft").mkdir(parents=True)
    with pytest.raises(InputError, match="'runs/sft' is not a checkpoint folder"):
        find_model("runs/sft")


def test_a_context_is_held_against_the_models_own(tiny_folder):
    config = read_config(tiny_folder)
    fits = Sampling(context_tokens=8192)
    assert fit_context(config, fits, "tiny") is fits
    with pytest.raises(InputError, match="context_tokens is 8193, but 'tiny' was made for at most"):
        fit_context(config, Sampling(context_tokens=8193), "tiny")
    config.max_position_embeddings = 512
    unset = Sampling()  # 1024
    assert fit_context(config, unset, "tiny").context_tokens == 512
    with pytest.raises(InputError, match="'tiny' was made for at most 8192 tokens"):
        load_checkpoint(tiny_folder, Sampling(context_tokens=16384), name="tiny")


def test_a_model_without_positions_takes_any_context():
    sampling = Sampling(context_tokens=1_000_000)
    assert fit_context(AutoConfig.for_model("mamba"), sampling, "mamba") is sampling


def test_a_configuration_that_cannot_be_read(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="the configuration cannot be read: "):
        read_config(tmp_path)


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="the model cannot be loaded"):
        load_model(tmp_path, "float32")


def test_weights_that_were_cut_off(tmp_path, tiny_folder):
    folder = shutil.copytree(tiny_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"the model cannot be loaded: .*incomplete metadata"):
        load_model(folder, "float32")


def test_a_folder_without_a_tokenizer(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="the tokenizer cannot be loaded") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("can", "dtype"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"architecture": "aarch64", "bf16": True}, "bfloat16"),
        ({"architecture": "aarch64", "bf16": False}, "float32"),
    ],
)
def test_bfloat16_only_where_the_processor_multiplies_in_it(on_cpu, monkeypatch, can, dtype):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert fast_dtype() == dtype


def test_no_bfloat16_without_a_library_that_uses_the_instructions(on_cpu, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True})
    assert fast_dtype() == "float32"


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_only_emulates_bfloat16(monkeypatch, native, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation
    )
    assert fast_dtype() == dtype


def test_names_of_capabilities_are_pytorchs():
    can = torch.cpu.get_capabilities()
    expected = {"x86_64": {"avx512_bf16", "amx_bf16"}, "aarch64": {"bf16"}}
    assert expected.get(can["architecture"], set()) <= set(can)
