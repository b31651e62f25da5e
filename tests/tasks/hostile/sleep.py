# Sleeps past the limit.
import time

time.sleep(60)
