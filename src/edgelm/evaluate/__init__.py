"""Evaluate: ask a checkpoint the benchmarks' questions, keep every answer, report the scores."""
