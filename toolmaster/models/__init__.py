"""Models: found, downloaded and loaded; what each was trained on."""

from toolmaster.models.checkpoints import find_model, load_model, load_tokenizer

__all__ = ["find_model", "load_model", "load_tokenizer"]
