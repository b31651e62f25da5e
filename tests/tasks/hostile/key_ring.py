# Looks at the keys of the user, which are in no namespace.
import ctypes

KEYCTL = {"x86_64": 250, "aarch64": 219}[__import__("posix").uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(KEYCTL, 0, -4, 1) >= 0, ctypes.get_errno()
