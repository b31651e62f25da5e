# Computes past the limit.
while True:
    pass
