"""What training text shares with the benchmarks."""
