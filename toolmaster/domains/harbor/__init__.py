"""A harbor: vessels with a draught, sailors, a mooring and one alongside, and the convoy."""
