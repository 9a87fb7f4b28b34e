"""A run: its recipe and its stages."""
