"""The memory of a training, by numbers worked out by hand and by real models."""

import pytest
import torch

from toolmaster.errors import ConfigError, InputError
from toolmaster.models.checkpoints import load_model
from toolmaster.training.common import freeze_embeddings, lora
from toolmaster.training.memory import (
    SHAPES,
    held_bytes,
    read_shape,
    refuse_what_cannot_fit,
    step_bytes,
)
from toolmaster.training.settings import GrpoSettings, SftSettings


def test_parameters_are_those_of_a_real_model(tiny_folder, tiny_model):
    shape = read_shape(tiny_folder)
    norms = sum(p.numel() for name, p in tiny_model.named_parameters() if "norm" in name)
    assert shape.parameters == tiny_model.num_parameters() - norms
    assert [round(shape.parameters / 1e9, 2) for shape in SHAPES.values()] == [
        0.60,
        1.72,
        4.02,
        7.62,
        14.77,
    ]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing")
def test_what_is_trained_is_that_of_a_real_model(tiny_folder):
    """Gradients and averages of Adam after one step, in bytes; norms are left out."""
    from peft import get_peft_model  # noqa: PLC0415

    shape = read_shape(tiny_folder)
    for rank in (0, 4):
        model = load_model(tiny_folder, "float32")
        freeze_embeddings(model)
        model = get_peft_model(model, lora(rank)) if rank else model
        optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
        model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
        optimizer.step()
        norms = {id(p) for name, p in model.named_parameters() if "norm" in name}
        parameters = [p for p in model.parameters() if p.requires_grad and id(p) not in norms]
        averages = [s for p in parameters for k, s in optimizer.state[p].items() if k != "step"]
        held = held_bytes(shape, GrpoSettings(lora_rank=rank))
        assert held["gradients"] == sum(p.grad.nbytes for p in parameters)
        assert held["optimizer"] == sum(average.nbytes for average in averages)


def test_sharing_by_hand():
    """A 7B model: 7.62e9 weights of 4 bytes, with gradients and two averages, over 8 devices."""
    held = held_bytes(SHAPES["7B"], SftSettings(), devices=8, sharded=True)
    assert sum(held.values()) / 1e9 == pytest.approx(7.615 * 16 / 8, rel=1e-3)
    whole = held_bytes(SHAPES["7B"], SftSettings(), devices=8)
    assert sum(whole.values()) / 1e9 == pytest.approx(7.615 * 20, rel=1e-3)  # buffers of DDP
    halved = held_bytes(SHAPES["7B"], SftSettings(weights="bfloat16"))
    assert sum(halved.values()) / 1e9 == pytest.approx(7.615 * 8, rel=1e-3)


def test_what_grpo_holds_besides():
    room = {"slots": 10, "context_tokens": 1000}
    held = held_bytes(SHAPES["7B"], GrpoSettings(sampling=room), devices=8, sharded=True)
    assert held["acting copy"] == 2 * SHAPES["7B"].parameters
    assert held["key-value cache"] == 2 * 28 * 4 * 128 * 2 * 10_000  # keys and values of 2 bytes
    assert "reference" not in held
    with_kl = GrpoSettings(trainer={"beta": 0.1})
    assert held_bytes(SHAPES["7B"], with_kl)["reference"] == 4 * SHAPES["7B"].parameters


def test_checkpointing_and_shorter_batches_take_less():
    plain, less = SftSettings(), SftSettings(trainer={"activation_checkpointing": True})
    size = [
        step_bytes(SHAPES["4B"], settings, tokens=tokens, sharded=True)
        for settings, tokens in ((plain, 4000), (plain, 2000), (less, 2000))
    ]
    assert size == sorted(size, reverse=True)
    assert len(set(size)) == 3


def test_what_cannot_fit_is_refused():
    with pytest.raises(ConfigError, match=r"holds 121\.8 GB on each device \(weights 30\.5"):
        refuse_what_cannot_fit(SHAPES["7B"], SftSettings(), 80 * 10**9, devices=1, sharded=False)
    refuse_what_cannot_fit(SHAPES["7B"], SftSettings(), 80 * 10**9, devices=2, sharded=True)


def test_a_configuration_without_shapes_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(InputError, match="does not tell the shapes of the model: KeyError"):
        read_shape(tmp_path)


def test_the_command_shows_and_refuses(toolmaster, tiny_folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    words = ["plan", "paper", f"model={tiny_folder}", "grpo.sampling.slots=8"]
    code, shown, _ = toolmaster(*words, "--devices", 8)
    assert code == 0
    assert "14B" in shown
    assert "key-value" in shown
    code, _, told = toolmaster(*words, "--devices", 2, "--memory-gb", 0.001)
    assert code == 2
    assert "takes 0.0 GB on each of 2 devices, and they have 0.001 GB; take more devices" in told


def test_servers_that_generate_take_no_memory_of_the_training():
    here = held_bytes(SHAPES["7B"], GrpoSettings())
    served = held_bytes(SHAPES["7B"], GrpoSettings(policy="served:http://a:8000"))
    assert served == {k: v for k, v in here.items() if k not in ("acting copy", "key-value cache")}
    assert len(served) < len(here)
