# Opens a thousand files.
kept = [open("/dev/null") for _ in range(1000)]
