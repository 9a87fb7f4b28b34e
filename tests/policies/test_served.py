"""Rollouts over HTTP: the same tokens as in this process, at whichever server answers."""

import asyncio
import json

import pytest
import torch
from aiohttp import web
from model_servers import serving, serving_app

from toolmaster.errors import ConfigError, InputError, PermanentPolicyError, PolicyError
from toolmaster.limits import Limits
from toolmaster.policies.base import ContextFullError, EndpointSettings, Sampling
from toolmaster.policies.loading import check_model, load_policy
from toolmaster.policies.names import served_model
from toolmaster.policies.served import ServedPolicy, load_served
from toolmaster.policies.token_server import SERVED_API_KEY, TokenServer
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, groups, run_rollouts
from toolmaster.types import Message

GREEDY = Sampling(turn_tokens=12, context_tokens=1024, slots=8)
SAMPLED = GREEDY.model_copy(update={"temperature": 1.0})
QUERIES = ("how much is it?", "a much longer question about the bread " * 4, "no", "who?")


@pytest.fixture(scope="module")
def server(tiny_folder):
    with serving(tiny_folder) as running:
        yield running


@pytest.fixture
def make(tiny_chat):
    """A function: the policy of servers at these addresses, which are not looked at yet."""

    def build(*addresses, sampling=GREEDY, wait_s=0.2, **options):
        servers = [TokenServer(address) for address in addresses]
        return ServedPolicy(servers, tiny_chat, sampling, wait_s=wait_s, **options)

    return build


def prompt(query):
    return [Message(role="system", content="rules"), Message(role="user", content=query)]


async def talk(policy, query, observations=("4.5", "an error: no such item")):
    """A conversation's completions."""
    conversation = policy.conversation(prompt(query), [])
    completions = [await conversation.complete()]
    for observation in observations:
        conversation.observe(observation)
        completions.append(await conversation.complete())
    return conversation.token_ids, completions


def talk_all(policy, queries=QUERIES):
    async def go():
        if isinstance(policy, ServedPolicy):
            await policy.join()
        try:
            return await asyncio.gather(*(talk(policy, query) for query in queries))
        finally:
            if isinstance(policy, ServedPolicy):
                await policy.close()

    return asyncio.run(go())


def test_greedy_turns_are_those_of_a_model_in_this_process(server, make, load_tiny, tiny_chat):
    here = talk_all(TransformersPolicy(load_tiny(), tiny_chat, GREEDY))
    assert talk_all(make(server.url)) == here


def test_sampled_turns_and_their_log_probabilities_are_those_of_this_process(
    tiny_folder, make, load_tiny, tiny_chat
):
    here = talk_all(TransformersPolicy(load_tiny(), tiny_chat, SAMPLED, seed=0), QUERIES[:1])
    with serving(tiny_folder) as fresh:
        [(ids, turns)] = talk_all(make(fresh.url, sampling=SAMPLED), QUERIES[:1])
    [(expected, theirs)] = here
    assert ids == expected
    for turn, other in zip(turns, theirs, strict=True):
        assert turn.log_probs == pytest.approx(other.log_probs, abs=1e-4)


def test_log_probabilities_are_those_of_the_model(server, make, load_tiny):
    model = load_tiny()
    for ids, turns in talk_all(make(server.url, sampling=SAMPLED)):
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for turn in turns:
            begin = turn.prompt_tokens
            expected = [scores[begin + i - 1, t].item() for i, t in enumerate(turn.token_ids)]
            assert turn.log_probs == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("protocol", Protocol)
def test_rollouts_have_the_tokens_of_sft_and_of_this_process(
    server, load_tiny, tiny_chat, world, protocol
):
    tasks = [world.draw(world.id_of("train", number)).task for number in range(3)]
    limits = Limits(max_turns=3)
    here = TransformersPolicy(load_tiny(), tiny_chat, GREEDY)
    there = load_policy(f"served:{server.url}", GREEDY)

    async def go(policy):
        return await run_rollouts(groups(tasks, 2), policy, protocol, limits)

    for one, two in zip(asyncio.run(go(here)), asyncio.run(go(there)), strict=True):
        assert two.error is None
        assert (two.prompt_ids, two.completion()) == (one.prompt_ids, one.completion())
        rendered = tiny_chat.render(two.prompt, two.tools, two.steps)
        read = len(two.prompt_ids)
        assert rendered.token_ids == two.prompt_ids + two.completion().token_ids
        assert rendered.completion_mask[read:] == two.completion().mask


class Scripted:
    """A server that is none of ours: it answers each request of a route with the next answer."""

    def __init__(self, owner, **answers):
        self.owner = owner
        self.answers = {f"/{path.replace('__', '/')}": list(a) for path, a in answers.items()}
        self.requests = []

    def app(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request):
        if request.path == "/v1/models":
            model = {"id": "m", "root": "m", "owned_by": self.owner, "max_model_len": 4096}
            return web.json_response({"data": [model]})
        if not self.answers.get(request.path):
            return web.json_response({"error": "no such route"}, status=404)
        self.requests.append((request.path, await request.json()))
        answer = self.answers[request.path].pop(0)
        status = answer.pop("status", 200) if isinstance(answer, dict) else 200
        return web.json_response(answer, status=status)


def vllm(token_ids, stop_reason=None, finish="stop", **more):
    """An answer of vLLM's /v1/completions."""
    log_probs = {"token_logprobs": [-0.5] * len(token_ids), "tokens": ["t"] * len(token_ids)}
    choice = {"token_ids": token_ids, "stop_reason": stop_reason, "finish_reason": finish}
    return {"choices": [{**choice, "logprobs": log_probs, **more}]}


def sglang(token_ids, matched=None, version="default"):
    """An answer of SGLang's /generate."""
    pairs = [[-0.5, token, None] for token in token_ids]
    about = {"finish_reason": {"type": "stop", "matched": matched}, "weight_version": version}
    return {"text": "t", "meta_info": {"output_token_logprobs": pairs, **about}}


def one_turn(policy):
    async def go():
        await policy.join()
        conversation = policy.conversation(prompt("q"), [])
        try:
            return conversation.prompt_ids, await conversation.complete()
        finally:
            await policy.close()

    return asyncio.run(go())


@pytest.mark.parametrize("owner", ["vllm", "sglang"])
@pytest.mark.parametrize("ends", [True, False])
def test_the_token_after_a_closing_tag_is_sampled_too(make, tiny_chat, owner, ends):
    """As in this process: the end-of-turn token is kept, and any other is dropped."""
    end = tiny_chat.end_of_turn_id
    answer = vllm if owner == "vllm" else sglang
    after = [end] if ends else [7]
    route = "v1__completions" if owner == "vllm" else "generate"
    answers = [answer([5, 6], "</answer>"), answer(after)]
    with serving_app(Scripted(owner, **{route: answers})) as scripted:
        read, turn = one_turn(make(scripted.url, sampling=SAMPLED))
    assert turn.token_ids == [5, 6, *([end] if ends else [])]
    assert turn.log_probs == [-0.5] * len(turn.token_ids)
    (_, first), (_, second) = scripted.requests
    sent, key = (first, "prompt") if owner == "vllm" else (first, "input_ids")
    assert (sent[key], second[key]) == (read, [*read, 5, 6])
    ways = (first, second) if owner == "vllm" else (r["sampling_params"] for r in (first, second))
    for way, stops in zip(ways, (["</tool_call>", "</experience>", "</answer>"], []), strict=True):
        assert (way["stop"], way["stop_token_ids"]) == (stops, [end])
        assert way["skip_special_tokens"] is False
        assert (way["temperature"], way["top_p"], way["top_k"]) == (1.0, 1.0, -1)


def test_a_turn_that_ends_by_itself_or_at_its_limit_costs_one_request(make, tiny_chat):
    end = tiny_chat.end_of_turn_id
    for answer in (vllm([5, end]), vllm([5] * 12, finish="length"), vllm([5] * 12, "</answer>")):
        with serving_app(Scripted("vllm", v1__completions=[answer])) as scripted:
            _, turn = one_turn(make(scripted.url, sampling=SAMPLED))
        assert turn.token_ids == answer["choices"][0]["token_ids"]
        assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"choices": [{"text": "hello"}]}, "has no token ids with log-probabilities"),
        ({"object": "error"}, "has no token ids with log-probabilities"),
        (vllm([]), "has no token ids"),
        (vllm([5, 6], logprobs={"token_logprobs": [-0.5]}), "has no token ids with log-prob"),
        ({"status": 400, "error": {"message": "what is top_k?"}}, "400 what is top_k"),
    ],
)
def test_answers_that_cannot_be_trained_on(make, answer, message):
    answer = json.loads(json.dumps(answer))
    with (
        serving_app(Scripted("vllm", v1__completions=[answer])) as scripted,
        pytest.raises(PolicyError, match=message) as told,
    ):
        one_turn(make(scripted.url, sampling=SAMPLED))
    assert scripted.url in str(told.value)


def top(value):
    """An answer of vLLM with the log-probability of the most likely token."""
    return {"choices": [{"logprobs": {"top_logprobs": [{"a": value, "b": -9.0}]}}]}


def test_log_probabilities_from_before_the_temperature_are_refused(make):
    """As vLLM gives them unless it is told otherwise; TRL needs those of the sampling."""
    warm = GREEDY.model_copy(update={"temperature": 0.7})
    with (
        serving_app(Scripted("vllm", v1__completions=[top(-1.5), top(-1.5)])) as raw,
        pytest.raises(InputError, match="--logprobs-mode processed_logprobs") as told,
    ):
        one_turn(make(raw.url, sampling=warm))
    assert raw.url in str(told.value)
    answers = [top(-1.5), top(-1.1), vllm([5])]
    with serving_app(Scripted("vllm", v1__completions=answers)) as processed:
        _, turn = one_turn(make(processed.url, sampling=warm))
    assert turn.token_ids == [5]


def test_an_answer_to_another_prompt_is_asked_for_again(make):
    answers = [vllm([9], prompt_token_ids=[1, 2, 3]), vllm([5])]
    with serving_app(Scripted("vllm", v1__completions=answers)) as scripted:
        _, turn = one_turn(make(scripted.url))
    assert turn.token_ids == [5]


def test_a_conversation_too_long_for_the_server_ends_with_its_context(make):
    full = {"status": 400, "error": {"message": "maximum context length is 10 tokens"}}
    with (
        serving_app(Scripted("vllm", v1__completions=[full])) as scripted,
        pytest.raises(ContextFullError),
    ):
        one_turn(make(scripted.url))


def test_conversations_are_spread_and_each_stays_where_it_began(tiny_folder, make, tiny_chat):
    queries = [f"{number}: what is it?" for number in range(8)]
    length = len(tiny_chat.prompt_ids(prompt(queries[0]), []))
    with serving(tiny_folder) as one, serving(tiny_folder) as two:
        seen = {}
        for server in (one, two):
            generate = server.engine.generate

            async def counted(ids, *rest, server=server, generate=generate):
                seen.setdefault(tuple(ids[:length]), set()).add(server.url)
                return await generate(ids, *rest)

            server.engine.generate = counted
        talk_all(make(one.url, two.url), queries)
    assert [len(urls) for urls in seen.values()] == [1] * 8
    used = [next(iter(urls)) for urls in seen.values()]
    assert used.count(one.url) == used.count(two.url) == 4


def test_a_server_that_dies_is_left_out_and_its_conversations_go_on(
    tiny_folder, make, load_tiny, tiny_chat, capsys
):
    here = talk_all(TransformersPolicy(load_tiny(), tiny_chat, GREEDY))

    async def go(policy, dies):
        await policy.join()
        first = await asyncio.gather(*(talk(policy, query, ()) for query in QUERIES))
        dies()
        rest = await asyncio.gather(*(talk(policy, query) for query in QUERIES))
        left = [server.address for server in policy.live]
        await policy.close()
        return first, rest, left

    with serving(tiny_folder) as one:
        second = serving(tiny_folder)
        two = second.__enter__()
        policy = make(one.url, two.url, wait_s=60)
        _, rest, left = asyncio.run(go(policy, lambda: second.__exit__(None, None, None)))
    assert rest == here
    assert left == [one.url]
    told = " ".join(capsys.readouterr().err.split())
    assert f"left out until it answers again: the server at {two.url}" in told


def test_a_server_that_comes_back_is_used_again(tiny_folder, make, capsys):
    async def go(policy):
        with serving(tiny_folder) as first:
            port = int(first.url.rpartition(":")[2])
            policy.servers[:] = [TokenServer(first.url)]
            await policy.join()
            await talk(policy, "q", ())
        pending = asyncio.create_task(talk(policy, "q", ()))
        while not policy._errors:  # it has met the closed port
            await asyncio.sleep(0.01)
        with serving(tiny_folder, port=port):
            found = await pending
            await policy.close()
        return found

    ids, _ = asyncio.run(go(make(wait_s=60)))
    assert ids
    assert "is back" in capsys.readouterr().err


def test_all_gone_is_one_error_that_names_them(make, free_address):
    one, two = free_address(), free_address()
    with pytest.raises(PermanentPolicyError, match="no server of the model answers") as told:
        talk_all(make(one, two))
    assert one in str(told.value)
    assert two in str(told.value)
    assert "cannot be reached" in str(told.value)


def test_all_gone_in_the_middle_stops_the_rollouts(tiny_folder, make, world):
    task = world.draw(world.id_of("train", 0)).task

    async def go(policy):
        with serving(tiny_folder) as only:
            policy.servers[:] = [TokenServer(only.url)]
            await policy.join()
        await run_rollouts([RolloutRequest(task)] * 3, policy, Protocol.TRIAL, Limits())

    with pytest.raises(PermanentPolicyError, match="no server of the model answers"):
        asyncio.run(go(make()))


@pytest.fixture
def free_address():
    from model_servers import free_port  # noqa: PLC0415

    return lambda: f"http://127.0.0.1:{free_port()}"


def test_one_that_is_not_there_is_left_out_at_the_start(server, make, free_address, capsys):
    gone = free_address()
    policy = make(gone, server.url)
    talk_all(policy)
    assert [one.address for one in policy.live] == [server.url]
    assert gone in capsys.readouterr().err.replace("\n", "")


@pytest.fixture
def other_tokenizer(tiny_folder, tmp_path):
    """The tiny checkpoint with two tokens of its vocabulary exchanged."""
    folder = tmp_path / "other"
    folder.mkdir()
    for file in tiny_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    data = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["t"] = vocabulary["t"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    return folder


def test_a_server_with_another_tokenizer_is_refused_by_name(server, make, other_tokenizer):
    with serving(other_tokenizer) as other:
        with pytest.raises(InputError, match="whose tokenizer is not that of") as told:
            talk_all(make(server.url, other.url))
        assert other.url in str(told.value)
        assert "\n" not in str(told.value)


def test_servers_of_different_models_are_refused(server, make, tiny_folder, tmp_path):
    copy = tmp_path / "copy"
    copy.symlink_to(tiny_folder)
    with serving(copy) as other:
        with pytest.raises(InputError, match="the servers have different models") as told:
            talk_all(make(server.url, other.url))
        assert all(url in str(told.value) for url in (server.url, other.url))


def test_a_context_that_the_server_does_not_have_is_refused(tiny_folder, make):
    with serving(tiny_folder, sampling=Sampling(context_tokens=256)) as small:
        with pytest.raises(InputError, match="with room for 256; set context_tokens to at most"):
            talk_all(make(small.url, sampling=GREEDY))
        policy = make(small.url, sampling=Sampling(turn_tokens=8))
        talk_all(policy)
        assert policy.sampling.context_tokens == 256


def test_a_token_is_needed_where_the_server_has_one(tiny_folder, make, monkeypatch):
    with serving(tiny_folder, token="let me in") as guarded:
        with pytest.raises(PermanentPolicyError, match=r"401 .*; check SERVED_API_KEY"):
            talk_all(make(guarded.url))
        monkeypatch.setenv(SERVED_API_KEY, "let me in")
        talk_all(make(guarded.url))


def test_the_tokenizer_is_that_of_the_server_s_checkpoint(server, tiny_folder):
    policy = load_policy(f"served:{server.url}/v1", GREEDY)
    assert policy.name == str(tiny_folder)
    with serving_app(Scripted("vllm")) as unknown:
        with pytest.raises(InputError, match=r"write served:.* model=FOLDER"):
            load_policy(f"served:{unknown.url}", GREEDY)
        policy = load_policy(f"served:{unknown.url} model={tiny_folder}", GREEDY)
    assert policy.name == str(tiny_folder)


def test_headers_come_from_the_environment(server, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match="which is not set"):
        load_served(
            served_model(f"served:{server.url}"),
            GREEDY,
            endpoint=EndpointSettings(headers={"x-key": "$NOT_SET"}),
        )


@pytest.mark.parametrize(
    ("line", "addresses", "model"),
    [
        ("served:http://a:8000", ["http://a:8000"], ""),
        ("served:http://a, https://b/v1/ model=runs/x y", ["http://a", "https://b"], "runs/x y"),
        ("served:http://[::1]:8000/base/v1", ["http://[::1]:8000/base"], ""),
    ],
)
def test_addresses(line, addresses, model):
    assert served_model(line) == (addresses, model)
    check_model(line)


@pytest.mark.parametrize(
    "line", ["served:", "served:a:8000", "served:http://a,", "served:http://k@a", "served:http://a,http://a/"]
)  # fmt: skip
def test_addresses_that_are_none(line):
    with pytest.raises(ConfigError, match=r"served:ADDRESS|given twice"):
        check_model(line)


def test_other_names_are_not_served():
    assert served_model("served") is None
    assert served_model("openai:served:http://a") is None
