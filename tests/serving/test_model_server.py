"""Our model server: routes, keys, what it refuses, and `solve` and `evaluate` through it."""

import asyncio
import json

import httpx
import pytest
import torch
from model_servers import ROOM, process, serving
from safetensors.torch import load_file, save_file

from toolmaster.limits import Limits
from toolmaster.models.checkpoints import load_model
from toolmaster.policies.base import Sampling, ToolCallFormat
from toolmaster.policies.loading import load_policy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.types import Message

CALL = '<think>So.</think><tool_call>{"name": "get", "arguments": {"n": 2}}</tool_call>'
TOOLS = [{"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}]
ASKED = [{"role": "system", "content": "rules"}, {"role": "user", "content": "what is it?"}]


@pytest.fixture
def server(tiny_folder):
    with serving(tiny_folder) as running:
        yield running


def post(server, path, headers=None, **body):
    return httpx.post(server.url + path, json=body, headers=headers or {}, timeout=60)


def saying(server, text):
    """Make the model of a server write a turn; returns what it is shown."""
    seen = []

    async def generate(token_ids, limit, temperature):
        seen.append((token_ids, limit, temperature))
        return server.chat.turn_ids(text)[:limit], []

    server.engine.generate = generate
    return seen


def changed(folder, target, by=0.5):
    """Copy a checkpoint, with other weights."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor + by for name, tensor in weights.items()}
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    return target


def reload(server, folder):
    return post(
        server, "/collective_rpc", method="reload_weights", kwargs={"weights_path": str(folder)}
    )


def test_it_says_what_it_serves(server, tiny_folder):
    assert httpx.get(f"{server.url}/health").status_code == 200
    [model] = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert (model["id"], model["root"]) == (str(tiny_folder), str(tiny_folder))
    assert model["max_model_len"] == ROOM.context_tokens


def test_a_completion_has_tokens_and_text(server):
    text = "one two"
    body = {"prompt": text, "max_tokens": 5, "temperature": 1, "logprobs": 0}
    got = post(server, "/v1/completions", **body).json()
    [choice] = got["choices"]
    ids = server.chat.tokenizer.encode(text, add_special_tokens=False)
    assert choice["prompt_token_ids"] == ids
    assert choice["text"] == server.chat.text(choice["token_ids"])
    assert len(choice["logprobs"]["token_logprobs"]) == len(choice["token_ids"]) <= 5
    assert got["usage"]["prompt_tokens"] == len(ids)
    assert got["weight_version"] == "default"
    same = post(server, "/tokenize", prompt=text).json()
    assert same["tokens"] == ids


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"prompt": [5], "model": "another"}, 404, "does not exist"),
        ({"prompt": [5], "stop": ["\n"]}, 400, "leave out other `stop` texts"),
        ({"prompt": [5], "stream": True}, 400, "not streamed"),
        ({"prompt": [5] * 3000}, 400, "maximum context length is 2048 tokens"),
        ({"prompt": []}, 400, "maximum context length"),
        ({"prompt": [600]}, 400, "whose ids are below 600"),
        ({"prompt": ["a"]}, 400, "cannot be read"),
        ({}, 400, "cannot be read: KeyError: 'prompt'"),
    ],
)
def test_requests_that_it_refuses(server, body, status, message):
    got = post(server, "/v1/completions", **body)
    assert got.status_code == status
    assert message in got.json()["error"]["message"]


def test_only_json_is_read(server):
    """A web page can send a text to this machine without asking, and no JSON."""
    got = httpx.post(f"{server.url}/v1/completions", content='{"prompt": [5]}')
    assert got.status_code == 415


def test_a_key_is_needed_for_all_but_the_health(tiny_folder):
    with serving(tiny_folder, token="let me in") as guarded:
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "let me"}):
            assert post(guarded, "/tokenize", headers, prompt="a").status_code == 401
        given = {"Authorization": "Bearer let me in"}
        assert post(guarded, "/tokenize", given, prompt="a").status_code == 200
        assert httpx.get(f"{guarded.url}/health").status_code == 200


def test_requests_at_several_temperatures_do_not_mix(server):
    async def go():
        async with httpx.AsyncClient(timeout=60) as client:
            bodies = [
                {"prompt": [5, 6, 7], "max_tokens": 8, "temperature": number % 2, "logprobs": 0}
                for number in range(8)
            ]
            asked = (client.post(f"{server.url}/v1/completions", json=body) for body in bodies)
            return [answer.json()["choices"][0] for answer in await asyncio.gather(*asked)]

    choices = asyncio.run(go())
    greedy = [choice["token_ids"] for choice in choices[::2]]
    assert greedy == [greedy[0]] * 4
    assert [choice["logprobs"] is None for choice in choices] == [True, False] * 4


def test_a_chat_is_shown_as_in_training(server):
    seen = saying(server, "<think>t</think><answer>4</answer>")
    talk = [
        *ASKED,
        {"role": "assistant", "content": CALL},
        {"role": "tool", "content": "four </answer>"},
    ]
    got = post(server, "/v1/chat/completions", messages=talk, tools=TOOLS, tool_choice="none")
    [choice] = got.json()["choices"]
    assert choice["message"]["content"] == "<think>t</think><answer>4</answer>"
    assert choice["finish_reason"] == "stop"
    chat = server.chat
    expected = chat.prompt_ids([Message(**m) for m in ASKED], TOOLS)
    expected += chat.turn_ids(CALL) + chat.observation_ids("four </answer>")
    assert seen[0][0] == expected


def test_a_call_is_a_native_one_where_tools_are_called_natively(server):
    seen = saying(server, CALL)
    got = post(server, "/v1/chat/completions", messages=ASKED, tools=TOOLS).json()
    [choice] = got["choices"]
    message = choice["message"]
    assert (choice["finish_reason"], message["content"]) == ("tool_calls", "<think>So.</think>")
    [call] = message["tool_calls"]
    assert call["function"]["name"] == "get"
    assert json.loads(call["function"]["arguments"]) == {"n": 2}
    answered = {"role": "tool", "tool_call_id": call["id"], "content": "4"}
    post(server, "/v1/chat/completions", messages=[*ASKED, message, answered], tools=TOOLS)
    shown = server.chat.tokenizer.decode(seen[1][0])
    assert CALL in shown


def test_openai_s_format_of_calls_goes_through_it(server, world):
    """What `solve` does with `openai:NAME`, natively and as a trained model."""
    saying(server, "<think>t</think><answer>4</answer>")
    task = world.draw(world.id_of("train", 0)).task
    for tool_calls in (ToolCallFormat.NATIVE, ToolCallFormat.TRAINED):
        policy = load_policy(
            f"openai:{server.name}",
            Sampling(turn_tokens=64),
            base_url=f"{server.url}/v1",
            tool_calls=tool_calls,
        )

        async def go(policy=policy):
            request = RolloutRequest(task)
            try:
                return await run_rollout(request, policy, Protocol.DIRECT, Limits())
            finally:
                await policy.close()

        assert asyncio.run(go()).answer == "4"


def test_weights_are_loaded_from_a_folder(server, tiny_folder, tmp_path):
    ask = {"prompt": [5, 6, 7], "max_tokens": 8, "temperature": 0}
    before = post(server, "/v1/completions", **ask).json()
    folder = changed(tiny_folder, tmp_path / "step-1")
    assert reload(server, folder).json() == {"results": [None]}
    assert httpx.get(f"{server.url}/weight_info").json() == {"weight_version": "step-1"}
    loaded = server._policy.model.state_dict()
    for name, tensor in load_model(folder, "float32").state_dict().items():
        assert torch.equal(loaded[name], tensor)
    after = post(server, "/v1/completions", **ask).json()
    assert after["weight_version"] == "step-1"
    assert reload(server, tiny_folder).status_code == 200
    again = post(server, "/v1/completions", **ask).json()
    assert again["choices"][0]["token_ids"] == before["choices"][0]["token_ids"]
    assert post(server, "/update_weight_version", new_version="x").status_code == 200
    assert httpx.get(f"{server.url}/weight_info").json() == {"weight_version": "x"}


def test_weights_that_do_not_fit_change_nothing(server, tiny_folder, tmp_path):
    small = changed(tiny_folder, tmp_path / "small")
    config = json.loads((small / "config.json").read_text()) | {"intermediate_size": 64}
    (small / "config.json").write_text(json.dumps(config))
    weights = load_file(small / "model.safetensors")
    weights = {
        n: (t[:, :64] if "down" in n else t[:64] if "mlp" in n else t).contiguous()
        for n, t in weights.items()
    }
    save_file(weights, small / "model.safetensors", {"format": "pt"})
    before = {name: tensor.clone() for name, tensor in server._policy.model.state_dict().items()}
    got = reload(server, small)
    assert got.status_code == 400
    assert "do not fit: model.layers." in got.json()["error"]["message"]
    assert reload(server, tmp_path / "missing").status_code == 400
    assert all(torch.equal(t, before[n]) for n, t in server._policy.model.state_dict().items())
    assert server.weights == "default"


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_loaded_over_the_model_and_dropped(server, tiny_folder, load_tiny, tmp_path):
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415

    peft = get_peft_model(load_tiny(), LoraConfig(r=2, target_modules="all-linear"))
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    peft.save_pretrained(tmp_path / "step-3")
    own = {n: t.clone() for n, t in server._policy.model.state_dict().items()}
    named = {"lora_name": "step-3", "lora_path": str(tmp_path / "step-3")}
    assert post(server, "/v1/load_lora_adapter", **named).status_code == 200
    merged = peft.merge_and_unload().state_dict()
    held = server._policy.model.state_dict()
    assert all(torch.allclose(held[name], merged[name], atol=1e-6) for name in held)
    models = httpx.get(f"{server.url}/v1/models").json()["data"]
    assert [model["id"] for model in models] == [str(tiny_folder), "step-3"]
    ask = {"prompt": [5], "max_tokens": 2}
    assert post(server, "/v1/completions", **ask, model="step-3").status_code == 200
    assert post(server, "/v1/completions", **ask, model=str(tiny_folder)).status_code == 404
    assert post(server, "/v1/load_lora_adapter", **named | {"lora_path": "/none"}).is_error
    assert post(server, "/v1/unload_lora_adapter", lora_name="step-3").status_code == 200
    assert all(torch.equal(t, own[n]) for n, t in server._policy.model.state_dict().items())


def test_weights_wait_for_the_requests_in_flight(server, tiny_folder, tmp_path):
    """Nothing is sampled from two sets of weights, and nothing is refused meanwhile."""
    folder = changed(tiny_folder, tmp_path / "step-2")

    async def go():
        async with httpx.AsyncClient(timeout=60) as client:
            ask = {"prompt": [5, 6], "max_tokens": 40, "temperature": 1.0}
            load = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
            asked = [client.post(f"{server.url}/v1/completions", json=ask) for _ in range(4)]
            told = client.post(f"{server.url}/collective_rpc", json=load)
            later = [client.post(f"{server.url}/v1/completions", json=ask) for _ in range(4)]
            return await asyncio.gather(*asked, told, *later)

    assert [answer.status_code for answer in asyncio.run(go())] == [200] * 9
    assert server.weights == "step-2"


def test_a_host_that_others_reach_needs_a_token(toolmaster, tiny_folder, monkeypatch):
    monkeypatch.delenv("SERVED_API_KEY", raising=False)
    code, _, told = toolmaster("serve-model", tiny_folder, "--host", "0.0.0.0")
    assert code == 2
    assert "set a token for them in SERVED_API_KEY" in told


def test_a_port_that_is_taken_is_an_error(toolmaster, tiny_folder, server):
    code, _, told = toolmaster("serve-model", tiny_folder, "--port", server.url.rpartition(":")[2])
    assert code == 1
    assert "give another --port" in told


def test_the_command_serves_evaluate_and_solve(toolmaster, tiny_folder, tmp_path):
    tools = tmp_path / "shop.py"
    tools.write_text('def price(item: str) -> int:\n    """Price of an item."""\n    return 4\n')
    with process(tiny_folder) as running:
        model = f"served:{running.url}"
        code, out, told = toolmaster(
            *("evaluate", model, "world:short split=test tasks=2", "--json"),
            *("--out", tmp_path / "t.jsonl", "limits.max_turns=2", "sampling.turn_tokens=8"),
        )
        assert code == 0, told
        assert json.loads(out)["rollouts"] == 2
        code, _, told = toolmaster(
            *("solve", "What does it cost?", "--tools", tools, "--model", model),
            *("--out", tmp_path / "s.jsonl", "limits.max_turns=2", "sampling.turn_tokens=8"),
            *("--experience", "none"),
        )
        assert "is not" not in told, told
        assert (tmp_path / "s.jsonl").read_text()


def test_a_teacher_may_be_served(server, tmp_path):
    """It is asked for turns like any other; a random one solves nothing."""
    import toolmaster as tm  # noqa: PLC0415 - only here

    made = tm.demonstrate(
        tm.taskset("world:short").split("train")[:1],
        teacher=f"served:{server.url}",
        sampling=Sampling(turn_tokens=8, context_tokens=2048),
        limits=Limits(max_turns=2),
        output_dir=tmp_path / "taught",
    )
    assert made == []
    responses = (tmp_path / "taught" / "responses.jsonl").read_text().splitlines()
    assert len(responses) == 2
