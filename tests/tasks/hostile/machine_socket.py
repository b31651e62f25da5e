# Opens a socket to the host of a virtual machine, which no network namespace confines.
import socket

socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
