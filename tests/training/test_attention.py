"""Packed rows: every sequence as if it were alone, in outputs and in gradients."""

import pytest
import torch
from tiny_models import OTHERS, PLAIN, tiny

from toolmaster.policies.compiled import compile_blocks
from toolmaster.training.attention import (
    ATTENTION,
    _products,
    _varlen_attention,
    sequence_lengths,
    share_prefixes,
    use_packed_attention,
)

LENGTHS = (7, 1, 40, 12)


@pytest.fixture
def packed(load_tiny):
    model = load_tiny()
    model.set_attn_implementation(ATTENTION)
    return model


def sequences(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 600, (1, n), generator=generator) for n in LENGTHS]


def positions(lengths=LENGTHS):
    return torch.cat([torch.arange(n) for n in lengths])[None]


def run(model, row):
    return model(row, position_ids=positions(), use_cache=False).logits


def test_sequence_lengths():
    assert sequence_lengths(torch.tensor([[0, 1, 2, 0, 0, 1]])) == ([3, 1, 2], [0, 0, 0])
    assert sequence_lengths(torch.tensor([[0, 1, 2, 2, 3, 1]])) == ([3, 2, 1], [0, 2, 1])
    assert sequence_lengths(torch.tensor([[0]])) == ([1], [0])


def test_what_is_shared_by_hand():
    ids = torch.tensor([[5, 6, 7, 5, 6, 8, 9, 4, 5, 6]])
    left, places, where = share_prefixes(ids, positions((3, 4, 1, 2)))
    assert left.tolist() == [[5, 6, 7, 8, 9, 4, 5, 6]]
    assert places.tolist() == [[0, 1, 2, 2, 3, 0, 0, 1]]
    assert where.tolist() == [0, 1, 2, 0, 1, 3, 4, 5, 6, 7]


def test_a_sequence_does_not_go_on_where_the_one_before_ends():
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 1, 2, 9, 1, 2, 3, 7, 8]])
    left, places, where = share_prefixes(ids, positions((6, 3, 5)))
    assert left.tolist() == [[1, 2, 3, 4, 5, 6, 9, 3, 7, 8]]
    assert sequence_lengths(places) == ([6, 1, 3], [0, 2, 2])
    assert left[0, where].tolist() == ids[0].tolist()


def test_sharing_a_prefix_changes_no_state_and_no_gradient(load_tiny):
    parts = sequences()
    for part in parts[2:]:
        part[:, :5] = parts[0][:, :5]
    row = torch.cat(parts, 1)
    weight = torch.randn(sum(LENGTHS), 600, generator=torch.Generator().manual_seed(1))
    whole, shared = load_tiny(), load_tiny()
    for model in (whole, shared):
        model.set_attn_implementation(ATTENTION)
    expected = run(whole, row)
    left, places, where = share_prefixes(row, positions())
    assert left.shape == places.shape == (1, sum(LENGTHS) - 10)
    found = shared(left, position_ids=places, use_cache=False).logits[:, where]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for logits in (expected, found):
        (logits[0] * weight).sum().backward()
    for (name, one), two in zip(shared.named_parameters(), whole.parameters(), strict=True):
        scale = two.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(one.grad / scale, two.grad / scale, atol=1e-5, rtol=1e-5)


def test_two_tokens_by_hand():
    # One head of size 1, no scaling. The second token's scores are 1 * (0, ln 3): weights 1/4, 3/4.
    query = torch.ones(1, 1, 3, 1)
    key = torch.tensor([0.0, 1.0986123, 5.0]).view(1, 1, 3, 1)
    value = torch.tensor([4.0, 8.0, 100.0]).view(1, 1, 3, 1)
    found, weights = _varlen_attention(
        torch.nn.Module(), query, key, value, None, 1.0, position_ids=torch.tensor([[0, 1, 0]])
    )
    assert weights is None
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == pytest.approx([4.0, 7.0, 100.0])


def test_products_are_the_fused_kernel():
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 6, 9, 8, generator=generator)
    key, value = (torch.randn(1, 2, 9, 8, generator=generator) for _ in range(2))
    fused = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(_products(query, key, value, 0.3), fused)


def test_a_packed_row_is_its_sequences_one_by_one(packed, load_tiny):
    alone = load_tiny()
    assert alone.config._attn_implementation == "sdpa"
    parts = sequences()
    expected = torch.cat([alone(part, use_cache=False).logits for part in parts], 1)
    torch.testing.assert_close(run(packed, torch.cat(parts, 1)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_a_packed_row_of_each_plain_architecture(name):
    model, alone, parts = tiny(name), tiny(name), sequences()
    assert use_packed_attention(model)
    alone.set_attn_implementation("eager")
    with torch.no_grad():
        expected = torch.cat([alone(part, use_cache=False).logits for part in parts], 1)
        found = run(model, torch.cat(parts, 1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_keep_their_own_attention(name):
    model = tiny(name)
    before = model.config._attn_implementation
    assert not use_packed_attention(model)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("name", ["mistral_window", "gemma2", "gpt_oss"])
def test_what_our_attention_does_not_know_is_never_passed_over(name):
    model = tiny(name)
    model.set_attn_implementation(ATTENTION)
    with pytest.raises(ValueError, match="is not plain causal attention"):
        run(model, torch.cat(sequences(), 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_one_kernel_on_a_gpu_computes_the_same(packed):
    row, weight = torch.cat(sequences(), 1), torch.randn(sum(LENGTHS), 600)
    gradients = []
    for device in ("cpu", "cuda"):
        model = packed.to(device)
        model.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            logits = model(row.to(device), position_ids=positions().to(device), use_cache=False)[0]
        (logits[0] * weight.to(device)).sum().backward()
        gradients.append({n: p.grad.cpu().clone() for n, p in model.named_parameters()})
    for name, one in gradients[0].items():
        assert (gradients[1][name] - one).norm() < 0.05 * one.norm(), name


def test_gradients_are_those_of_the_sequences(packed, load_tiny):
    alone, parts = load_tiny(), sequences()
    weight = torch.randn(sum(LENGTHS), 600, generator=torch.Generator().manual_seed(1))
    (run(packed, torch.cat(parts, 1))[0] * weight).sum().backward()
    logits = torch.cat([alone(part, use_cache=False).logits for part in parts], 1)
    (logits[0] * weight).sum().backward()
    for (name, one), two in zip(packed.named_parameters(), alone.parameters(), strict=True):
        scale = two.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(one.grad / scale, two.grad / scale, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changed", range(len(LENGTHS)))
def test_nothing_leaks_between_sequences(packed, changed):
    parts, others = sequences(), sequences(1)
    before = run(packed, torch.cat(parts, 1)).split(LENGTHS, 1)
    parts[changed] = others[changed]
    after = run(packed, torch.cat(parts, 1)).split(LENGTHS, 1)
    for index, (one, two) in enumerate(zip(before, after, strict=True)):
        assert torch.equal(one, two) == (index != changed)


def test_no_token_sees_a_later_one(packed):
    row = torch.cat(sequences(), 1)
    before = run(packed, row)
    row[0, 7 + 1 + 20] += 1  # the 21st token of the third sequence
    after = run(packed, row)
    same = (before == after).all(-1)[0]
    assert same[:28].all()
    assert not same[28:48].any()
    assert same[48:].all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, while it compiles
def test_compiled_blocks_compute_the_same(packed, load_tiny):
    row = torch.cat(sequences(), 1)
    plain = run(packed, row)
    compiled = load_tiny()
    compiled.set_attn_implementation(ATTENTION)
    compile_blocks(compiled)
    torch.testing.assert_close(run(compiled, row), plain, atol=1e-5, rtol=1e-5)
