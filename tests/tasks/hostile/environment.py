# Looks for a secret in all environments that it can see.
import glob
import posix

seen = repr(posix.environ).encode()
for path in glob.glob("/proc/*/environ"):
    seen += open(path, "rb").read()
assert b"EDGELM_TEST_SECRET" in seen
