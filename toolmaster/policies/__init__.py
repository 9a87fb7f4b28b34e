"""Policies: whoever writes the assistant turns. Import the module you need; torch loads only then."""
