# Claims success by an exit code.
import sys

sys.exit(0)
