"""Leaving tokens out of a byte-level BPE: which ids stay, and every file that names an id."""
