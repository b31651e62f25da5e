# Connects to a socket in the host's file system.
import socket

socket.socket(socket.AF_UNIX).connect(HOST["socket"])
