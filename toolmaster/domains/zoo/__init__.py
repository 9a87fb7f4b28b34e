"""A zoo: animals with a weight, meals and an enclosure, and the order of feeding."""
