"""A foundry: castings with a tonnage, flaws and a furnace, in numbered moulds."""
