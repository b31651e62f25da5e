# Takes memory, piece by piece, up to two GiB.
taken = [bytearray(16 << 20) for _ in range(128)]
