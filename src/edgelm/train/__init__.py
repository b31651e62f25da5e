"""Training from scratch: tokenizer, corpus and pretraining."""
