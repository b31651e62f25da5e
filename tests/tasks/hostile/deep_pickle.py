# A pickle nested so deeply that taking it apart breaks the stack.
import pickle

depth = 5_000_000
pickle.loads(b"(" * depth + b"t" * depth + b".")
raise RecursionError("it held")
