"""Engines: what answers prompts with a checkpoint, one file a backend."""
