# Connects to a socket of the host that has no file.
import socket

socket.socket(socket.AF_UNIX).connect(HOST["abstract"])
