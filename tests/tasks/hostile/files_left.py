# Harmless: leaves a file behind.
with open(HOST["left_file"], "w") as file:
    file.write("still here")
