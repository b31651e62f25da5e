# Takes the processor away from all others.
import posix

try:
    posix.setpriority(posix.PRIO_PROCESS, 0, -20)
except OSError:
    posix.sched_setscheduler(0, posix.SCHED_FIFO, posix.sched_param(99))
