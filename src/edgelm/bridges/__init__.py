"""Bridges: other harnesses on our engines, ours on theirs, and what they need to run a checkpoint."""
