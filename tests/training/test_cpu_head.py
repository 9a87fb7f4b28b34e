"""The fast head keeps the contract of TRL's own, number by number."""

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from toolmaster.training.attention import ATTENTION
from toolmaster.training.cpu_head import use_cpu_head

FIELDS = ("log_probs", "entropy", "is_top1", "label_mask")


@pytest.fixture
def heads(load_tiny):
    """A function: the tiny model with TRL's head, and another with ours over it."""

    def make(temperature=1.0):
        models = load_tiny(), load_tiny()
        for model in models:
            add_fused_lm_head(model, temperature, outputs=("log_probs", "entropy", "is_top1"))
        use_cpu_head(models[1], temperature=temperature, entropy=True)
        return models

    return make


def batch(trained=0.5):
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 600, (3, 17), generator=generator)
    hidden = torch.rand(3, 17, generator=generator) > trained
    return {"input_ids": ids, "labels": ids.masked_fill(hidden, -100)}


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_field_is_that_of_trl(heads, temperature):
    theirs, ours = (model(**batch(), fused_lm_head=True) for model in heads(temperature))
    for name in FIELDS:
        one, two = getattr(theirs, name), getattr(ours, name)
        assert (one.shape, one.dtype) == (two.shape, two.dtype) == ((3, 16), one.dtype), name
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.loss, theirs.loss)
    assert 0 < theirs.label_mask.sum() < theirs.label_mask.numel()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_a_plain_forward_pass(heads, load_tiny, temperature):
    inputs = batch()
    with torch.no_grad():
        scored = heads(temperature)[1](**inputs, fused_lm_head=True)
        logits = load_tiny()(inputs["input_ids"]).logits[:, :-1] / temperature
    every = torch.log_softmax(logits, -1)
    for row, place in scored.label_mask.nonzero().tolist():
        token = inputs["labels"][row, place + 1]
        assert scored.log_probs[row, place] == pytest.approx(every[row, place, token].item(), 1e-4)
        entropy = torch.distributions.Categorical(logits=logits[row, place]).entropy()
        assert scored.entropy[row, place] == pytest.approx(entropy.item(), 1e-4)


def test_a_packed_row_with_a_shared_prefix(heads):
    theirs, ours = heads()
    ours.set_attn_implementation(ATTENTION)
    inputs = batch()
    inputs["input_ids"][:, :6] = inputs["input_ids"][0, :6]
    row = {name: values.reshape(1, -1) for name, values in inputs.items()}
    row["labels"][0, ::17] = -100  # no sequence predicts the first token of the next
    places = torch.arange(17).repeat(3)[None]
    scored = ours(**row, position_ids=places, fused_lm_head=True)
    expected = theirs(**inputs, fused_lm_head=True)
    found = torch.cat([scored.log_probs, scored.log_probs.new_zeros(1, 1)], 1).view(3, 17)[:, :-1]
    torch.testing.assert_close(found, expected.log_probs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_are_those_of_trl(heads, temperature):
    weight = torch.randn(3, 16, generator=torch.Generator().manual_seed(3))
    theirs, ours = heads(temperature)
    for model in (theirs, ours):
        (model(**batch(), fused_lm_head=True).log_probs * weight).sum().backward()
    for (name, one), two in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        scale = one.grad.abs().max()
        assert scale > 0, name
        torch.testing.assert_close(two.grad / scale, one.grad / scale, atol=1e-5, rtol=1e-5)


def test_the_loss_of_accumulated_batches(heads):
    theirs, ours = (
        model(**batch(), fused_lm_head=True, num_items_in_batch=torch.tensor(40)).loss
        for model in heads()
    )
    torch.testing.assert_close(ours, theirs)


def test_nothing_to_train_is_a_zero_that_can_be_differentiated(heads):
    _, ours = heads()
    scored = ours(**batch(trained=-1), fused_lm_head=True)
    assert not scored.label_mask.any()
    assert not scored.log_probs.any()
    scored.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in ours.parameters())


def test_no_entropy_unless_asked_for(load_tiny):
    model = load_tiny()
    add_fused_lm_head(model)
    use_cpu_head(model)
    assert not model(**batch(), fused_lm_head=True).entropy.any()


def test_an_ordinary_call_is_left_alone(heads, load_tiny):
    ids = batch()["input_ids"]
    torch.testing.assert_close(heads()[1](ids).logits, load_tiny()(ids).logits)


def test_a_model_that_changes_its_logits_keeps_the_head_of_trl(load_tiny):
    model = load_tiny()
    model.config.final_logit_softcapping = 2.0
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    expected = model(**batch(), fused_lm_head=True).log_probs
    use_cpu_head(model)
    assert torch.equal(model(**batch(), fused_lm_head=True).log_probs, expected)
