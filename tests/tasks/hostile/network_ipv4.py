# Connects to a port of the host, which listens.
import socket

socket.create_connection(("127.0.0.1", HOST["port"]), timeout=1)
