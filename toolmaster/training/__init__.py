"""Training through TRL. Every contact with TRL is in this package."""
