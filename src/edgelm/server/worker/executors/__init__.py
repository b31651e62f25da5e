"""Where the steps of a job run: one file for each kind of place."""
