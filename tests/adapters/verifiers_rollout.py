"""Run by the test in verifiers' own environment: one episode against a local endpoint.

`python verifiers_rollout.py TASK_ID` reads the turns, a JSON list, from stdin and prints what came
back as JSON. The endpoint streams chat completions as OpenAI's does, and says the turns.
"""

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import verifiers.v1 as vf

from toolmaster.adapters.verifiers import SessionEnv, SessionEnvConfig, open_session

turns = json.load(sys.stdin)
heard = []


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        heard.append(asked["messages"])
        said = sum(message["role"] == "assistant" for message in asked["messages"])
        delta = {"role": "assistant", "content": turns[said]}
        choice = {"index": 0, "finish_reason": "stop", "delta": delta}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
        chunk = json.dumps({**head, "choices": [choice], "usage": usage})
        body = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


async def run(address):
    os.environ["SCRIPTED_KEY"] = "none"
    agent = vf.AgentConfig(harness={"id": "null"}, runtime=vf.SubprocessConfig())
    config = SessionEnvConfig(taskset={"id": "toolmaster_verifiers", "count": 8}, agent=agent)
    env = SessionEnv(config)
    client = vf.EvalClientConfig(base_url=address, api_key_var="SCRIPTED_KEY")
    task = next(iter(env.taskset))
    told = open_session(sys.argv[1]).prompt()[1].content
    task = task.with_data(id=sys.argv[1], prompt=told)
    async with env.serving():
        return await env.run_episode(task, vf.ModelContext("scripted", client))


with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        episode = asyncio.run(run(f"http://127.0.0.1:{server.server_port}/v1"))
    finally:
        server.shutdown()
        thread.join()
for error in [*episode.errors, *(e for t in episode.traces for e in t.errors)]:
    print(error, file=sys.stderr)
[trace] = episode.traces
rewards = {name: reward.value for name, reward in trace.rewards.items()} if trace.rewards else {}
said = [m["content"] for m in heard[-1] if m["role"] == "user"]
print(json.dumps([said, rewards, episode.ok]))
