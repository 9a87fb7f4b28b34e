"""The built-in domains, one small folder each. `toolmaster.world` loads them; nothing imports them."""
