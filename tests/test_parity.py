"""All roads give the same tokens and the same mask: SFT, rollouts here, and rollouts at a server.

A tiny model learns one demonstration by heart, so that it writes the very turns that SFT trains on.
(verl's road: `tests/adapters`.)
"""

import asyncio

import pytest
import torch
from model_servers import serving

from toolmaster.chat import ChatFormat
from toolmaster.limits import Limits
from toolmaster.models.checkpoints import load_tokenizer
from toolmaster.policies.base import Sampling
from toolmaster.policies.names import served_model
from toolmaster.policies.served import load_served
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import taskset

SAMPLING = Sampling(turn_tokens=400, context_tokens=2000, slots=2)
TASK = "v6s/train/6"
QWEN = """\
{%- for message in messages %}
{%- if loop.first %}
{{- '<|im_start|>system\n' + (message.content if message.role == 'system' else '') }}
{%- if tools %}{{- '\n<tools>' }}{% for tool in tools %}{{- '\n' }}{{- tool | tojson }}{% endfor %}
{{- '\n</tools>' }}{%- endif %}{{- '<|im_end|>\n' }}
{%- endif %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- elif message.role != 'system' %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


@pytest.fixture(params=["ours", "qwen"])
def checkpoint(request, tiny_folder, tiny_model, tmp_path):
    """A model, its chat format, and the folder that both are saved in."""
    tokenizer = load_tokenizer(tiny_folder)
    if request.param == "qwen":
        tokenizer.chat_template = QWEN
        tokenizer.eos_token = "<|im_end|>"
    tokenizer.save_pretrained(tmp_path)
    return tiny_model, ChatFormat(load_tokenizer(tmp_path)), tmp_path


def memorise(model, rendered):
    """Train a model until it writes the trained tokens of one sequence, each as the likeliest."""
    ids, mask = (
        torch.tensor([rendered.token_ids]),
        torch.tensor(rendered.completion_mask).bool(),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        logits = model(ids).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits[mask[1:]], ids[0, 1:][mask[1:]])
        if loss < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    model.eval()


@pytest.mark.parametrize("protocol", list(Protocol))
def test_every_road_gives_the_tokens_and_the_mask_of_sft(checkpoint, demonstrate, protocol):
    model, chat, folder = checkpoint
    shown = demonstrate(TASK, protocol)
    assert shown.success
    assert len(shown.calls()) > (protocol is Protocol.TRIAL)
    wanted = chat.render(shown.prompt, shown.tools, shown.steps)
    memorise(model, wanted)
    model.save_pretrained(folder)

    def rolled_out(policy):
        task = taskset("world:short")[TASK]
        done = asyncio.run(run_rollout(RolloutRequest(task), policy, protocol, Limits()))
        assert done.success, done.error
        tokens = done.completion()
        return done.prompt_ids + tokens.token_ids, [0] * len(done.prompt_ids) + tokens.mask

    here = rolled_out(TransformersPolicy(model, chat, SAMPLING))
    assert here == (wanted.token_ids, wanted.completion_mask)
    with serving(folder) as server:
        named = served_model(f"served:{server.url}")
        assert rolled_out(load_served(named, SAMPLING)) == here
