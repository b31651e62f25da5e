"""Hold-outs: tasks out of a folder that its organiser keeps secret, as declarative packs or as task files."""
