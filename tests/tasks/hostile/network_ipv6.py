# The same by IPv6.
import socket

socket.create_connection(("::1", HOST["port6"]), timeout=1)
