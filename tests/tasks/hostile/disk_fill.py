# Fills its folder with many files.
for number in range(64):
    with open(f"/tmp/file-{number}", "wb") as file:
        file.write(bytes(1 << 20))
