# Changes the library for whoever runs it next.
import os
import sys

for path in (os.__file__, sys.executable, "/usr/lib/os.py"):
    try:
        open(path, "a").close()
        break
    except OSError:
        pass
else:
    raise OSError("nothing can be changed")
