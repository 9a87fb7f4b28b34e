"""Our model server on this machine: in a thread, or as a process that can be killed."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

from aiohttp import web

from toolmaster.chat import ChatFormat
from toolmaster.models.checkpoints import load_model, load_tokenizer
from toolmaster.policies.base import Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.serving.model_server import ModelServer

ROOM = Sampling(slots=16, context_tokens=2048)


@contextmanager
def serving(folder, *, token="", sampling=ROOM, port=0):
    """Serve a checkpoint in float32 from a thread; yields the server, with its address in `url`."""
    chat = ChatFormat(load_tokenizer(Path(folder)))
    policy = TransformersPolicy(load_model(Path(folder), "float32"), chat, sampling)
    with serving_app(ModelServer(policy, Path(folder), token=token), port) as server:
        yield server


@contextmanager
def serving_app(server, port=0):
    """Serve whatever has an `app()` from a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)

    async def start():
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    asyncio.run_coroutine_threadsafe(start(), loop).result()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        if hasattr(server, "engine"):
            server.engine.close()


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(folder, port=0, *options):
    """Run `toolmaster serve-model`; yields the process, with its address in `url`."""
    command = [sys.executable, "-m", "toolmaster", "serve-model", str(folder), "--port", str(port)]
    tame = {"GLIBC_TUNABLES": "", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    running = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=os.environ | tame
    )
    try:
        told = ""
        for line in running.stderr:
            told += line
            if found := re.search(r"is served at (http\S+);", line):
                running.url = found[1]
                break
        else:
            raise RuntimeError(told)
        yield running
    finally:
        running.kill()
        running.wait()
        running.stderr.close()
