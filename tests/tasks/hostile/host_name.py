# Renames the machine.
import socket

socket.sethostname("mine")
