# Crashes the interpreter, to leave its memory on the disk.
import ctypes

ctypes.string_at(0)
