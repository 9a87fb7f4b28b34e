"""The in-process policy: plain greedy generation, turn ends, weights, failures."""

import asyncio

import pytest
import torch
from transformers import LlamaForCausalLM

from toolmaster.errors import InputError, PolicyError
from toolmaster.limits import Limits
from toolmaster.policies import transformers
from toolmaster.policies.base import ContextFullError, Sampling
from toolmaster.policies.transformers import TransformersPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, groups, run_rollout, run_rollouts
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import Message, StopReason

QUERIES = [
    "how much is it?",
    "a much longer question about the bread " * 4,
    "no",
    "what now, " * 9,
    "who?",
]
ANSWER = "<think>t</think><answer>4</answer>"


@pytest.fixture
def make_policy(load_tiny, tiny_chat):
    """A function: a policy over a fresh copy of the tiny model."""

    def make(seed=0, **sampling):
        settings = Sampling(**({"turn_tokens": 10, "context_tokens": 512, "slots": 2} | sampling))
        return TransformersPolicy(load_tiny(), tiny_chat, settings, "tiny", seed)

    return make


@pytest.fixture
def greedy(load_tiny, tiny_chat):
    """Transformers' own greedy turn after some tokens."""

    def generate(token_ids, count, model=None):
        ids = torch.tensor([token_ids])
        out = (model or load_tiny()).generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            eos_token_id=tiny_chat.end_of_turn_id,
            pad_token_id=0,
        )
        return out[0, len(token_ids) :].tolist()

    return generate


def test_blocks_are_compiled_once_there_is_much_to_do(make_policy, monkeypatch):
    compiled = []
    monkeypatch.setattr(transformers, "COMPILE_AFTER_STEPS", 3)
    monkeypatch.setattr(transformers, "compile_blocks", compiled.append)
    policy = make_policy(turn_tokens=8)
    scripted(policy, [5] * 40)
    asyncio.run(policy.generate([1, 2], 2))
    assert compiled == []
    asyncio.run(policy.generate([1, 2], 8))
    assert compiled == [policy.model]


def prompt(query):
    return [Message(role="system", content="rules"), Message(role="user", content=query)]


def scripted(policy, token_ids):
    """Make a policy that serves one rollout sample these tokens, one after the other."""
    left = iter(token_ids)
    policy._drafter.length = 0  # what is drawn after a wrong guess would be lost
    policy._sample = lambda logits: [(next(left), None) for _ in logits]
    return left


def encode(chat, text):
    return chat.tokenizer.encode(text, add_special_tokens=False)


async def talk(policy, query, observations):
    """A conversation's tokens: prompt, turn, observation, turn, ..."""
    conversation = policy.conversation(prompt(query), [])
    pieces = [conversation.prompt_ids, (await conversation.complete()).token_ids]
    for observation in observations:
        pieces.append(conversation.observe(observation))
        pieces.append((await conversation.complete()).token_ids)
    return pieces


async def talk_all(policy, observations=()):
    return await asyncio.gather(*(talk(policy, query, observations) for query in QUERIES))


@pytest.mark.parametrize("slots", [2, 8])
def test_greedy_turns_are_those_of_plain_generation(make_policy, greedy, slots):
    policy = make_policy(slots=slots)
    for pieces in asyncio.run(talk_all(policy, ["4.5", "an error: no such item"])):
        assert len(pieces) == 6
        for index in (1, 3, 5):
            before = [token for piece in pieces[:index] for token in piece]
            assert pieces[index] == greedy(before, 10)


def test_an_observation_follows_an_end_of_turn_token(make_policy, tiny_chat):
    policy = make_policy()
    end = tiny_chat.end_of_turn_id
    for sampled, added in (([5, end], []), ([5, 6], [end])):
        conversation = policy.conversation(prompt("q"), [])
        conversation.token_ids += sampled
        assert conversation.observe("4") == added + tiny_chat.observation_ids("4")


def test_a_turn_ends_at_the_end_of_turn_token(make_policy, tiny_chat):
    policy = make_policy()
    end = tiny_chat.end_of_turn_id
    left = scripted(policy, [40, 41, end, 42])
    [_, turn] = asyncio.run(talk(policy, "q", []))
    assert (turn, next(left)) == ([40, 41, end], 42)


def test_a_turn_ends_when_its_tokens_are_used_up(make_policy):
    policy = make_policy(turn_tokens=8)
    left = scripted(policy, range(40, 60))
    [_, turn] = asyncio.run(talk(policy, "q", []))
    assert (turn, next(left)) == (list(range(40, 48)), 48)


def test_a_turn_ends_after_a_closing_tag_with_its_end_of_turn_token(make_policy, tiny_chat):
    policy = make_policy(turn_tokens=96)
    turn = tiny_chat.turn_ids(ANSWER)
    left = scripted(policy, [*turn, 42])
    assert asyncio.run(talk(policy, "q", []))[1] == turn
    assert next(left) == 42


def test_a_token_after_a_closing_tag_is_dropped(make_policy, tiny_chat):
    policy = make_policy(turn_tokens=96)
    turn = encode(tiny_chat, ANSWER)
    left = scripted(policy, [*turn, 42, 43])
    conversation = policy.conversation(prompt("q"), [])
    got = asyncio.run(conversation.complete())
    assert (got.text, got.token_ids, got.tokens) == (ANSWER, turn, len(turn))
    assert next(left) == 43
    assert conversation.token_ids == conversation.prompt_ids + turn


def test_other_tags_do_not_end_a_turn(make_policy, tiny_chat):
    policy = make_policy(turn_tokens=96)
    turn = tiny_chat.turn_ids("<think>a > b</think> <answer>4</answer>")
    scripted(policy, turn)
    assert asyncio.run(talk(policy, "q", []))[1] == turn


def test_a_context_longer_than_the_models_is_refused(make_policy):
    with pytest.raises(InputError, match=r"context_tokens is 8193, but 'tiny' was made for at most "
                       r"8192 tokens .*; set context_tokens to at most 8192"):  # fmt: skip
        make_policy(context_tokens=8193)


def test_no_room_is_left(make_policy):
    policy = make_policy(context_tokens=128)
    conversation = policy.conversation(prompt("q"), [])
    fits = 128 - len(conversation.token_ids) - 1
    conversation.token_ids += [5] * (fits - 3)
    got = asyncio.run(conversation.complete())
    assert got.tokens == 3
    with pytest.raises(ContextFullError):
        asyncio.run(conversation.complete())


def test_a_rollout_whose_context_is_used_up(make_policy, world, task_ids):
    request = RolloutRequest(world.draw(task_ids("train", 1, "plain")[0]).task)
    policy = make_policy(turn_tokens=96, context_tokens=900)
    got = asyncio.run(
        run_rollout(request, policy, Protocol.TRIAL, Limits(invalid_turns=12, max_turns=40))
    )
    assert (got.stop_reason, got.error) == (StopReason.MAX_TOKENS, None)
    total = len(got.prompt_ids) + len(got.completion().token_ids)
    assert 0 < total < 900
    assert got.prompt_tokens == len(got.prompt_ids)


def test_a_rollout_solves_its_task_token_by_token(
    make_policy, tiny_chat, world, demonstrate, task_ids
):
    task_id = task_ids("train", 1, "silent")[0]
    shown = demonstrate(task_id, behaviours=Behaviours(self_correction=False))  # no slips
    policy = make_policy(turn_tokens=300, context_tokens=2000)
    scripted(policy, [t for step in shown.steps for t in tiny_chat.turn_ids(step.text)])
    request = RolloutRequest(world.draw(task_id).task)
    got = asyncio.run(run_rollout(request, policy, Protocol.TRIAL, Limits()))
    assert got.error is None
    assert got.success
    expected = tiny_chat.with_tokens(shown)
    assert (got.prompt_ids, got.completion()[:2]) == (
        expected.prompt_ids,
        expected.completion()[:2],
    )


def test_rollouts_of_a_group_with_few_slots(make_policy, world, task_ids):
    policy = make_policy(slots=3, turn_tokens=8, context_tokens=1500)
    tasks = [world.draw(task_id).task for task_id in task_ids("train", 2)]
    limits = Limits(invalid_turns=2)
    got = asyncio.run(run_rollouts(groups(tasks, 4), policy, Protocol.TRIAL, limits))
    assert [t.error for t in got] == [None] * 8
    for first in (got[0], got[4]):
        members = got[got.index(first) :][:4]
        assert all(t.completion()[:2] == first.completion()[:2] for t in members)
    assert not policy._running
    assert not policy._waiting


def test_weights_take_effect_and_clear_the_cache(make_policy, greedy, load_tiny):
    policy = make_policy(slots=1)
    [before] = [asyncio.run(talk(policy, "q", []))]
    torch.manual_seed(9)
    other = LlamaForCausalLM(load_tiny().config).eval()
    policy.load_weights(other.state_dict())
    [after] = [asyncio.run(talk(policy, "q", []))]
    assert after[0] == before[0]
    assert after[1] == greedy(after[0], 10, other)
    assert after[1] != before[1]


def test_weights_of_another_shape_are_refused(make_policy):
    with pytest.raises(RuntimeError, match="Missing key"):
        make_policy().load_weights({})


def test_weights_cannot_change_in_flight(make_policy):
    policy = make_policy()

    async def change_while_talking():
        talking = asyncio.create_task(talk(policy, "q", []))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="in flight"):
            policy.load_weights({})
        return await talking

    assert len(asyncio.run(change_while_talking())[1]) == 10
    policy.load_weights(policy.model.state_dict())


def test_a_model_error_reaches_every_rollout_and_the_policy_goes_on(
    make_policy, monkeypatch, world, greedy, task_ids
):
    policy = make_policy(slots=2, context_tokens=2000)
    task = world.draw(task_ids("train", 1, "plain")[0]).task

    def broken(*args, **kwargs):
        raise MemoryError("no memory left")

    with monkeypatch.context() as patch:
        patch.setattr(policy.model, "forward", broken)
        got = asyncio.run(run_rollouts(groups([task], 5), policy, Protocol.TRIAL, Limits()))
    assert [t.stop_reason for t in got] == [StopReason.POLICY_ERROR] * 5
    assert {t.error for t in got} == {"MemoryError: no memory left"}
    for pieces in asyncio.run(talk_all(policy)):
        assert pieces[1] == greedy(pieces[0], 10)


def test_a_late_model_error_spares_the_finished(make_policy, monkeypatch):
    policy = make_policy(turn_tokens=8)
    asyncio.run(talk(policy, "q", []))
    forward, calls = policy.model.forward, []

    def failing_later(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("lost the device")
        return forward(*args, **kwargs)

    monkeypatch.setattr(policy.model, "forward", failing_later)
    with pytest.raises(PolicyError, match="RuntimeError: lost the device"):
        asyncio.run(talk(policy, "q", []))


def test_a_cancelled_rollout_frees_its_slot(make_policy, greedy):
    policy = make_policy(slots=1)

    async def cancel():
        talking = asyncio.create_task(talk(policy, "q", []))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        talking.cancel()

    asyncio.run(cancel())
    assert not policy._running
    pieces = asyncio.run(talk(policy, "another", []))
    assert pieces[1] == greedy(pieces[0], 10)


def test_sampling_repeats_with_its_seed(make_policy):
    def turns(seed):
        policy = make_policy(seed=seed, temperature=1.0)
        return [pieces[1] for pieces in asyncio.run(talk_all(policy))]

    assert turns(3) == turns(3)
    assert turns(3) != turns(4)


def test_a_low_temperature_samples_what_greedy_takes(make_policy, greedy):
    policy = make_policy(temperature=1e-4)
    pieces = asyncio.run(talk(policy, "q", []))
    assert pieces[1] == greedy(pieces[0], 10)


def test_temperature_flattens_the_distribution(make_policy):
    policy = make_policy(temperature=2.0)
    logits = torch.tensor([[0.0, 2.0]]).repeat(4000, 1)
    share = sum(token for token, _ in policy._sample(logits)) / 4000
    assert share == pytest.approx(0.7311, abs=0.03)  # e^1 / (1 + e^1)


def test_tokens_are_drawn_as_often_as_they_are_likely(make_policy):
    """Also the first and the last one; one that is impossible never is."""
    policy = make_policy(temperature=1.0)
    impossible = float("-inf")
    likely = torch.tensor([0.5, 0.125, 0.0, 0.125, 0.25, 0.0]).log()
    assert likely[2] == impossible
    pairs = policy._sample(likely.bfloat16().repeat(8000, 1))
    drawn = torch.tensor([token for token, _ in pairs])
    shares = torch.bincount(drawn, minlength=6) / 8000
    assert shares.tolist() == pytest.approx([0.5, 0.125, 0.0, 0.125, 0.25, 0.0], abs=0.02)
    assert shares[2] == shares[5] == 0


def test_log_probs_are_those_of_the_sampled_tokens(make_policy, load_tiny):
    """Against the model's own forward pass, after temperature; none where nothing is drawn."""
    policy = make_policy(temperature=0.7, turn_tokens=12)
    start = [1, 5, 9]
    tokens, log_probs = asyncio.run(policy.generate(start, 12))
    with torch.inference_mode():
        logits = load_tiny()(torch.tensor([[*start, *tokens]])).logits[0, 2:-1] / 0.7
    expected = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(log_probs), expected, atol=1e-4, rtol=1e-4)
    greedy = make_policy(turn_tokens=8)
    assert asyncio.run(greedy.generate(start, 4))[1] == []


def test_the_same_seed_draws_the_same(make_policy):
    policy = make_policy(temperature=1.0, turn_tokens=12)
    drawn = []
    for parts in ((0, 1, 0), (0, 1, 0), (0, 2, 0), (0, 1, 1)):
        policy.reseed(*parts)
        drawn.append(asyncio.run(policy.generate([1, 5, 9], 12))[0])
    assert drawn[0] == drawn[1]
    assert drawn[0] not in drawn[2:]
