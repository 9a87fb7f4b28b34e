"""A real server, a real model: `transformers serve` with SmolLM2, spoken to as a user would.

The served folder has our chat template, as every checkpoint has that toolmaster trained.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from toolmaster.chat import ChatFormat
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import find_model, load_tokenizer
from toolmaster.policies.base import Sampling
from toolmaster.policies.loading import load_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollouts
from toolmaster.types import StopReason

START_S = 180
SAMPLING = Sampling(turn_tokens=16)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a server and the name its model goes by there."""
    for package in ("fastapi", "openai"):
        pytest.importorskip(package, reason="transformers serve needs it")
    source, folder = find_model("smollm2-135m-instruct"), tmp_path_factory.mktemp("served")
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        if (source / name).exists():
            (folder / name).symlink_to(source / name)
    load_tokenizer(source).save_pretrained(folder)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [
            *command,
            "serve",
            str(folder),
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
            "--device",
            "cpu",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, f"{url}/health")
        yield f"{url}/v1", str(folder)
    finally:
        server.kill()
        server.wait()


def _wait_for(server, address):
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)  # a process of its own; there is nothing to wait on
        else:
            return
    pytest.fail("the server did not start")


def roll_out(served, world, **options):
    url, model = served
    tasks = [world.draw(world.id_of("test", 0)).task]
    policy = load_policy(f"openai:{model}", SAMPLING, base_url=url, **options)

    async def go():
        limits = Limits(max_turns=2)
        try:
            return await run_rollouts(map(RolloutRequest, tasks), policy, Protocol.TRIAL, limits)
        finally:
            await policy.close()

    return asyncio.run(go())


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tool_calls", ["auto", "text", "trained"])
def test_a_small_model_is_spoken_to(served, world, tool_calls):
    for got in roll_out(served, world, tool_calls=tool_calls):
        assert got.error is None
        assert got.stop_reason is not StopReason.POLICY_ERROR
        assert len(got.steps) == 2
        assert 0 < got.completion_tokens <= 2 * SAMPLING.turn_tokens
        assert got.prompt_tokens > 20


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
def test_what_a_trained_model_is_shown_has_the_tokens_of_training(served, world):
    """The server counts as many prompt tokens as its own chat template gives, tools included."""
    got = roll_out(served, world, tool_calls="trained")
    tokenizer = load_tokenizer(Path(served[1]))
    for trajectory in got:
        shown = ChatFormat(tokenizer).prompt_ids(trajectory.prompt, trajectory.tools)
        assert trajectory.prompt_tokens == len(shown)
