# Reads a file in the user's home.
open(HOST["secret_file"]).read()
