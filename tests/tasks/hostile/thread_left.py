# Harmless: leaves a thread behind, which by the official rule is no failure.
import _thread
import time

_thread.start_new_thread(time.sleep, (60,))
