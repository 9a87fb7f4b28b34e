"""An apiary: colonies with nectar, mites, a painted queen and a mother, and the round."""
