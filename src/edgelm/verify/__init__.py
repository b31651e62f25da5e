"""An organiser's second look at a submission: its scores made anew from its answers, and runs of its models."""
