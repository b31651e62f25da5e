# Starts a hundred threads.
import _thread
import time

for _ in range(100):
    _thread.start_new_thread(time.sleep, (60,))
