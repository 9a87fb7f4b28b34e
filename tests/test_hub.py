"""Models of the Hub: the real client against a small server, and without any."""

import json
import os
import subprocess
import sys

import pytest
from hub_server import commit, hub

from toolmaster.hub import is_hub_name

CODE = """
import json, sys, time
from toolmaster.errors import InputError
from toolmaster.models import find_model, lasting_name
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
        "model 'acme/empty' has no config.json at the Hub: it is no Transformers model",
        "model 'acme/broken' cannot be obtained: RemoteProtocolError: Server disconnected without",
    ]
    for (folder, message, _), start in zip(said, expected, strict=True):
        assert folder is None
        assert message.startswith(start)
        assert "\n" not in message


def test_without_a_network_it_fails_at_once(find):
    [[_, refused, seconds]] = find("acme/tiny")
    assert "it is not whole in the local cache, and the Hub cannot be reached: " in refused
    assert refused.endswith("Connect once, or give the folder of a checkpoint")
    assert seconds < 30
    [[_, offline, seconds]] = find("acme/tiny", HF_HUB_OFFLINE="1")
    assert "not whole in the local cache, and HF_HUB_OFFLINE is set" in offline
    assert seconds < 30
