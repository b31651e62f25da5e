# Computes past the limit where no signal handler of Python runs.
pow(7, 1 << 200_000_000, (1 << 100_000) - 1)
