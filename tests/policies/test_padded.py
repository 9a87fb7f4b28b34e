"""Models whose attention ours does not compute: Transformers' own path, the same tokens."""

import asyncio

import pytest
import torch
from tiny_models import OTHERS, PLAIN, tiny

from toolmaster.models.checkpoints import is_plain_causal
from toolmaster.policies.base import Sampling
from toolmaster.policies.padded import PaddedBatch
from toolmaster.policies.slots import Row, SlotCache
from toolmaster.policies.transformers import TransformersPolicy

PROMPTS = [[5, 9, 3] * 9, [7, 8], list(range(20, 60))]


def alone(model, token_ids):
    """The last token's logits by Transformers' eager attention, without cache or padding."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(torch.tensor([token_ids]), use_cache=False).logits[0, -1]


@pytest.mark.parametrize("name", OTHERS)
def test_a_batch_scores_each_row_as_if_it_were_alone(name):
    model, other = tiny(name), tiny(name)
    batch, rows = PaddedBatch(model, 3), [Row(list(ids)) for ids in PROMPTS]
    assert all(batch.admit(row) for row in rows)
    assert not batch.admit(Row([1]))
    for _ in range(12):
        ready, logits = batch.step()
        assert ready == rows
        for row, found in zip(rows, logits, strict=True):
            expected = alone(other, row.token_ids)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
            row.token_ids.append(int(found.argmax()))


def test_a_batch_goes_on_without_the_released_and_ends_with_the_last():
    model = tiny("gemma2")
    batch, rows = PaddedBatch(model, 2), [Row([4, 5, 6]), Row([7, 8])]
    for row in rows:
        batch.admit(row)
    batch.step()
    for row in rows:
        row.token_ids.append(9)
    batch.release(rows[0])
    ready, logits = batch.step()
    assert ready == [rows[1]]
    torch.testing.assert_close(logits[0], alone(model, [7, 8, 9]), atol=1e-5, rtol=1e-4)
    late = Row([1, 2])
    assert not batch.admit(late)
    batch.release(rows[1])
    assert batch.admit(late)
    [(ready, logits)] = [batch.step()]
    torch.testing.assert_close(logits[0], alone(model, [1, 2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_the_slot_cache_computes_what_its_architectures_compute(name):
    model, other = tiny(name), tiny(name)
    cache, rows = SlotCache(model, 3, 128), [Row(list(ids)) for ids in PROMPTS]
    assert all(cache.admit(row) for row in rows)
    for _ in range(4):
        ready, logits = cache.step()
        for row, found in zip(ready, logits, strict=True):
            expected = alone(other, row.token_ids)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
            row.token_ids.append(int(found.argmax()))


def test_the_slot_cache_refuses_any_other():
    with pytest.raises(ValueError, match="gemma2: not plain causal attention"):
        SlotCache(tiny("gemma2"), 1, 64)


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_only_plain_causal_attention_is_ours(name):
    assert is_plain_causal(tiny(name).config) == (name in PLAIN)


@pytest.mark.parametrize("name", ["mistral_window", "gpt_oss", "lfm2"])
def test_greedy_turns_are_those_of_generate(name, tiny_chat):
    model = tiny(name)
    policy = TransformersPolicy(model, tiny_chat, Sampling(turn_tokens=12, slots=2), name)
    assert isinstance(policy._cache, PaddedBatch)

    async def turns():
        got = await asyncio.gather(*(policy.generate(list(ids), 12) for ids in PROMPTS))
        return [tokens for tokens, _ in got]

    for ids, turn in zip(PROMPTS, asyncio.run(turns()), strict=True):
        out = tiny(name).generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=tiny_chat.end_of_turn_id,
            pad_token_id=0,
        )
        assert turn == out[0, len(ids) :].tolist()
