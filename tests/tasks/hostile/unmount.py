# Takes the walls away.
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
assert libc.umount2(b"/usr", 2) == 0, ctypes.get_errno()
