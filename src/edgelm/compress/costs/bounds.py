"""What bounds the memory of a run: said once, kept where steps work, and counted where memory is reckoned."""

HELD = 32_768  # tokens whose states are in memory while a layer alone learns; what else it reads is these again
TRIALS = 10**9  # bytes of streams while layers are left out one after another, unless one sequence's are more
SLOPES = 2**29  # bytes of the slopes of channels that are kept while these are bent; more are made anew each time
TOGETHER = 2048  # tokens of several sequences that may pass a layer of a GPU at once
DOUBLE_BELOW = 4096  # channels up to which sums over tokens are in double precision
