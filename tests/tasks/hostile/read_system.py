# Reads the users and their passwords.
for path in ("/etc/shadow", "/etc/passwd", "/etc/hostname"):
    try:
        open(path).read()
        break
    except OSError:
        pass
else:
    raise OSError("there are none")
