# Climbs out through a root of its own.
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
assert libc.chroot(b"/tmp") == 0, ctypes.get_errno()
