"""The loop that trains a model, and what it stands on."""
