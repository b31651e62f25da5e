# A search that takes longer than the universe.
import re

re.match(r"(a+)+$", "a" * 64 + "b")
