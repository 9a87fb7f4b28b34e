"""Run by the test in verl's own environment: rollouts inside verl's `AgentLoopWorker`.

`python verl_rollout.py CHECKPOINT` reads `{task_id: turns}` from stdin and prints, for each task,
the tokens, mask, log-probabilities and reward that verl would train on, as JSON. The client in
place of verl's servers writes these turns, and stops where it is told to, as vLLM does.
"""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import verl
from hydra import compose, initialize_config_dir
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.workers.rollout.replica import TokenOutput

from toolmaster.adapters.verl import chat_of, tasks_of
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "verl"
sys.path.insert(0, str(EXAMPLE))
from data import rows  # noqa: E402

LINE = "world:short split=train tasks=40"
folder, turns = sys.argv[1], json.load(sys.stdin)


class Client:
    """Writes the turns of the task that a prompt belongs to."""

    def __init__(self):
        self.prompts = {}  # tokens of a prompt: the tokens of its turns
        self.written = {}  # id of a conversation: what is left to write
        self.asked = []

    async def generate(self, request_id, *, prompt_ids, sampling_params):
        await asyncio.sleep(0)  # the rollouts take turns
        self.asked.append(sampling_params)
        chat = chat_of(worker.tokenizer)
        if request_id not in self.written:
            self.written[request_id] = self.prompts[tuple(prompt_ids)].copy()
        left = self.written[request_id]
        ids = []
        while len(ids) < sampling_params["max_tokens"]:
            ids.append(left.pop(0))
            text = chat.tokenizer.decode(ids)
            if any(stop in text for stop in sampling_params.get("stop", ())):
                break
            if ids[-1] in sampling_params["stop_token_ids"]:
                break
        return TokenOutput(token_ids=ids, log_probs=[-float(index % 7) / 8 for index in ids])


with initialize_config_dir(
    str(Path(verl.__file__).parent / "trainer" / "config"), version_base=None
):
    config = compose(
        "ppo_trainer",
        overrides=[
            f"actor_rollout_ref.model.path={folder}",
            "actor_rollout_ref.rollout.name=vllm",
            "actor_rollout_ref.rollout.prompt_length=1500",
            "actor_rollout_ref.rollout.response_length=2500",
            "actor_rollout_ref.rollout.calculate_log_probs=true",
            f"actor_rollout_ref.rollout.agent.agent_loop_config_path={EXAMPLE}/agent_loop.yaml",
        ],
    )
client = Client()
worker = AgentLoopWorker(config, client)
chat = chat_of(worker.tokenizer)
listed = [row for row in rows("quickstart", LINE) if row["task_id"] in turns]
for row in listed:
    session = Session(tasks_of(LINE)[row["task_id"]], Protocol.TRIAL, Limits())
    prompt = tuple(chat.prompt_ids(session.prompt(), session.tools.schemas()))
    client.prompts[prompt] = [i for text in turns[row["task_id"]] for i in chat.turn_ids(text)]
columns = {key: np.array([row[key] for row in listed], dtype=object) for key in listed[0]}
columns["raw_prompt"] = columns.pop("prompt")
done = asyncio.run(worker.generate_sequences(DataProto.from_dict(non_tensors=columns)))
made = {}
for place, row in enumerate(listed):
    prompt_mask, mask = done.batch["attention_mask"][place].bool().split([1500, 2500])
    response = done.batch["responses"][place][mask]
    made[row["task_id"]] = {
        "prompt": done.batch["prompts"][place][prompt_mask].tolist(),
        "response": response.tolist(),
        "mask": done.batch["response_mask"][place][mask].tolist(),
        "log_probs": done.batch["rollout_log_probs"][place][mask].tolist(),
        "reward": done.batch["rm_scores"][place].sum().item(),
        "success": float(done.non_tensor_batch["success"][place]),
    }
print(json.dumps(made))
