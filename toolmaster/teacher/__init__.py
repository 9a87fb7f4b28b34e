"""Demonstrations: from oracles, known-good calls and teacher models, filtered and kept."""
