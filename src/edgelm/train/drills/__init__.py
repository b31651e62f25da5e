"""Rows that teach in what form each benchmark reads answers."""
