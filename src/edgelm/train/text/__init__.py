"""From files of training text to documents that are learned from."""
