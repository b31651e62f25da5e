# Opens a socket to the kernel's configuration.
import socket

socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
