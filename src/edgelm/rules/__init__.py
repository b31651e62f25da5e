"""Rules of a competition: one file a rule set."""

from edgelm.rules.base import Rules, Track

__all__ = ["Rules", "Track"]
