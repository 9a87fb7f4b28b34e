"""The slot cache: the same tokens as plain generation, and nothing computed twice."""

import random

import pytest
import torch

from toolmaster.policies.slots import Row, SlotCache, _common_prefix

VOCABULARY = 600


@pytest.fixture(params=[1, 64], ids=["apart", "together"])
def cache(load_tiny, request):
    """Slots whose short rows attend by themselves, and with the decoding ones."""
    return SlotCache(load_tiny(), slots=3, max_length=256, short_tokens=request.param)


@pytest.fixture
def greedy(load_tiny):
    """Transformers' own greedy generation of some tokens after one prompt."""
    model = load_tiny()

    def generate(token_ids, count):
        ids = torch.tensor([token_ids])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            min_new_tokens=count,
            pad_token_id=0,
        )
        return out[0, len(token_ids) :].tolist()

    return generate


def tokens(count, seed):
    rng = random.Random(seed)
    return [rng.randrange(3, VOCABULARY) for _ in range(count)]


def computed(cache):
    """Make the cache note how many tokens each of its steps computes."""
    noted, plan = [], cache._plan

    def noting(pieces, *parts):
        noted.append(sum(count for _, count in pieces))
        return plan(pieces, *parts)

    cache._plan = noting
    return noted


def finish(cache, rows, count):
    """Greedily sample `count` tokens for each row, admitting rows as slots come free."""
    waiting, starts = list(rows), {id(row): len(row.token_ids) for row in rows}
    running = 0
    while waiting or running:
        admitted = [row for row in waiting if cache.admit(row)]
        running += len(admitted)
        waiting = [row for row in waiting if all(row is not other for other in admitted)]
        ready, logits = cache.step()
        for row, token in zip(ready, logits.argmax(-1).tolist(), strict=True):
            row.token_ids.append(token)
            if len(row.token_ids) - starts[id(row)] == count:
                cache.release(row)
                running -= 1
    return [row.token_ids[starts[id(row)] :] for row in rows]


def test_common_prefix_wherever_it_ends():
    base = tokens(33, 1)
    for length in range(34):
        other = [*base[:length], 1, *base[length + 1 :]] if length < 33 else [*base, 1]
        assert _common_prefix(base, other) == _common_prefix(other, base) == length
        assert _common_prefix(base, base[:length]) == length


def test_greedy_tokens_are_those_of_plain_generation(cache, greedy):
    prompts = [tokens(length, length) for length in (5, 40, 1, 23, 90)]
    got = finish(cache, [Row(list(p)) for p in prompts], 8)
    assert got == [greedy(p, 8) for p in prompts]


def test_every_tensor_is_made_where_the_model_is(cache, greedy):
    prompts = [tokens(length, length) for length in (5, 40)]
    with torch.device("meta"):  # what names no device ends there, as it would beside a GPU
        got = finish(cache, [Row(list(p)) for p in prompts], 8)
    assert got == [greedy(p, 8) for p in prompts]


def test_long_prompts_are_computed_in_pieces(load_tiny, greedy):
    cache = SlotCache(load_tiny(), slots=3, max_length=256, step_tokens=16)
    noted = computed(cache)
    prompts = [tokens(length, length) for length in (50, 17, 33)]
    got = finish(cache, [Row(list(p)) for p in prompts], 4)
    assert got == [greedy(p, 4) for p in prompts]
    assert max(noted) <= 16 + 2


def test_logits_are_those_of_a_plain_forward_pass(cache, load_tiny):
    prompt = tokens(30, 4)
    row = Row(list(prompt))
    assert cache.admit(row)
    ready, logits = cache.step()
    plain = load_tiny()(torch.tensor([prompt])).logits[0, -1]
    assert ready == [row]
    assert logits.shape == (1, VOCABULARY)
    torch.testing.assert_close(logits[0], plain, atol=1e-4, rtol=1e-4)


def test_drafts_are_scored_in_the_same_pass(cache, greedy):
    """Right guesses, wrong ones and none, side by side: each row goes on as plain generation."""
    prompts = [tokens(length, length) for length in (30, 12, 21)]
    wanted = [greedy(p, 6) for p in prompts]
    rows = [Row(list(p)) for p in prompts]
    assert all(cache.admit(row) for row in rows)
    ready, logits = cache.step()
    for row, token in zip(ready, logits.argmax(-1).tolist(), strict=True):
        row.token_ids.append(token)
    rows[0].draft = wanted[0][1:4]
    rows[1].draft = [wanted[1][1], 1]
    ready, logits = cache.step()
    assert [id(row) for row in ready] == [id(row) for row in rows]
    drawn = logits.argmax(-1).tolist()
    assert len(drawn) == 4 + 3 + 1
    assert (drawn[:4], drawn[4:6], drawn[7:]) == (wanted[0][1:5], wanted[1][1:3], wanted[2][1:2])
    for row, taken in zip(rows, (drawn[:4], drawn[4:6], drawn[7:]), strict=True):
        row.token_ids += taken
        row.computed += len(taken) - 1
        row.draft = []
    ready, logits = cache.step()
    went_on = [wanted[0][5], wanted[1][3], wanted[2][2]]
    assert logits.argmax(-1).tolist() == went_on


def test_a_group_computes_its_prompt_once(cache):
    noted = computed(cache)
    prompt = tokens(60, 2)
    rows = [Row(list(prompt)) for _ in range(3)]
    got = finish(cache, rows, 5)
    assert got[0] == got[1] == got[2]
    # 60 once, then each member's own tokens: the first sampled token costs the others one
    # token of the prompt again (its logits), and the last sampled token is never computed.
    assert sum(noted) == 60 + 2 * 1 + 3 * 4
    assert noted[:2] == [60, 3]


def test_short_prompts_attend_together(load_tiny, greedy):
    """No segment of its own for a row that misses little; logits of its last token alone."""
    cache = SlotCache(load_tiny(), slots=3, max_length=256, short_tokens=20)
    prompts = [tokens(length, length) for length in (20, 7, 21)]
    rows = [Row(list(p)) for p in prompts]
    assert all(cache.admit(row) for row in rows)
    plans, plan = [], cache._plan
    cache._plan = lambda *parts: plans.append(plan(*parts)) or plans[-1]
    ready, logits = cache.step()
    assert [id(row) for row in ready] == [id(row) for row in rows]
    [block] = plans[0][0].blocks
    assert [block.tokens, len(plans[0][0].segments)] == [slice(0, 27), 1]
    assert block.mask.shape == (2, 1, 20, 1, 20)  # as long as their rows, not as the cache
    assert logits.argmax(-1).tolist() == [greedy(p, 1)[0] for p in prompts]


def test_a_wide_row_does_not_widen_those_that_miss_one_token(load_tiny, greedy):
    cache = SlotCache(load_tiny(), slots=3, max_length=256, short_tokens=20)
    first, second, third = (Row(tokens(length, length)) for length in (9, 14, 5))
    assert all(cache.admit(row) for row in (first, second))
    _, logits = cache.step()
    for row, token in zip((first, second), logits.argmax(-1).tolist(), strict=True):
        row.token_ids.append(token)
    second.token_ids += tokens(11, 3)
    assert cache.admit(third)
    expected = [greedy(row.token_ids, 1)[0] for row in (first, second, third)]
    plans, plan = [], cache._plan
    cache._plan = lambda *parts: plans.append(plan(*parts)) or plans[-1]
    ready, logits = cache.step()
    assert [id(row) for row in ready] == [id(row) for row in (first, second, third)]
    assert [block.mask.shape[2] for block in plans[0][0].blocks] == [1, 12]
    assert logits.argmax(-1).tolist() == expected


def test_members_that_wait_for_a_shared_prompt_are_admitted_after_one_step(cache):
    prompt = tokens(60, 2)
    assert cache.admit(Row(list(prompt)))
    second = Row(list(prompt))
    assert not cache.admit(second)
    cache.step()
    assert cache.admit(second)
    assert second.computed == 59


def test_rows_that_share_little_do_not_wait(cache):
    prompt = tokens(60, 2)
    assert cache.admit(Row(list(prompt)))
    assert cache.admit(Row([*prompt[:16], *tokens(30, 3)]))


def test_the_next_turn_computes_only_what_is_new(cache, greedy):
    row = Row(tokens(50, 7))
    [first] = finish(cache, [row], 6)
    noted = computed(cache)
    longer = [*row.token_ids, *tokens(9, 8)]
    [second] = finish(cache, [Row(list(longer))], 3)
    assert second == greedy(longer, 3)
    assert noted == [1 + 9, 1, 1]  # the last token of the turn was sampled, never computed
    assert len(first) == 6


def test_a_copied_prefix_is_independent_of_its_source(cache, greedy):
    head = tokens(40, 5)
    one, two = [*head, *tokens(7, 1)], [*head, *tokens(30, 2)]
    first = Row(list(one))
    assert cache.admit(first)
    cache.step()
    second = Row(list(two))
    assert cache.admit(second)
    assert (second.computed, second.slot != first.slot) == (40, True)
    cache.release(first)
    cache.release(second)
    assert finish(cache, [Row(list(one)), Row(list(two))], 5) == [greedy(one, 5), greedy(two, 5)]


def test_slots_grow_with_their_sequences(cache, greedy):
    head = tokens(150, 5)
    first, second = Row(list(head)), Row([*head, 9])
    assert finish(cache, [first], 3) == [greedy(head, 3)]
    assert finish(cache, [second, first], 3)[0] == greedy([*head, 9], 3)
    longest = tokens(252, 6)
    assert finish(cache, [Row(list(longest))], 4) == [greedy(longest, 4)]


def test_a_busy_slot_is_not_overwritten(cache):
    rows = [Row(tokens(10, seed)) for seed in range(3)]
    assert all(cache.admit(row) for row in rows)
    assert sorted(row.slot for row in rows) == [0, 1, 2]
    assert not cache.admit(Row(tokens(10, 9)))
    cache.release(rows[1])
    late = Row(tokens(10, 9))
    assert cache.admit(late)
    assert late.slot == rows[1].slot


def test_clearing_forgets_every_prefix(cache):
    row = Row(tokens(30, 1))
    finish(cache, [row], 2)
    cache.clear()
    again = Row(list(row.token_ids))
    cache.admit(again)
    assert again.computed == 0
