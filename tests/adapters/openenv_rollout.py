"""Run by the test in OpenEnv's own environment: one rollout over its server and client.

`python openenv_rollout.py TASK_ID` reads the turns, a JSON list, from stdin and prints what came
back as JSON.
"""

import json
import socket
import sys
import threading

import uvicorn
from openenv.core.env_server import create_app
from openenv.core.generic_client import GenericEnvClient

from toolmaster.adapters.openenv import Observed, SessionEnvironment, Turn

listener = socket.create_server(("127.0.0.1", 0))
app = create_app(SessionEnvironment, Turn, Observed, max_concurrent_envs=4)
server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
thread.start()
try:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with GenericEnvClient(base_url=address).sync() as env:
        first = env.reset(task_id=sys.argv[1])
        results = [env.step({"text": text}) for text in json.load(sys.stdin)]
        steps = env.state()["step_count"]
    query = first.observation["messages"][1]["content"]
    said = [m["content"] for r in results for m in r.observation["messages"]]
    last = results[-1]
    print(json.dumps([query, said, last.reward, last.done, steps]))
finally:
    server.should_exit = True
    thread.join()
