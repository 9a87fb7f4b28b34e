"""A farm: fields with an area, cows and a crop, and the order of ploughing."""
