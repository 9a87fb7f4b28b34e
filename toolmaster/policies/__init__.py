"""Policies: whoever writes the assistant turns. Import the one you need; torch loads only then."""
