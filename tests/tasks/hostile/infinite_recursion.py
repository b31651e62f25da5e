# Calls itself for ever, with no limit.
import sys

sys.setrecursionlimit(1 << 30)


def again():
    return again()


again()
