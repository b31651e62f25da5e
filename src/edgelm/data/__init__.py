"""Data: where every file comes from, a folder that holds them, and the miniature suite."""
