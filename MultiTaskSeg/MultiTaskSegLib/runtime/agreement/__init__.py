"""How far two masks agree: overlap, and distances between their surfaces."""
