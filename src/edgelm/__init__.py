"""edgelm: the whole of an edge-device language-model competition, unquantised, from weights to leaderboard."""

__version__ = "0.1.0"
