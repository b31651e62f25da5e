# Any way out of the machine, in an address range that belongs to nobody.
import socket

plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
plug.connect(("192.0.2.1", 9))
