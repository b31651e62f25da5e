"""Tasks: one file a benchmark, with its prompts and its scorer."""
