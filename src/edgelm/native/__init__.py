"""The runner: our C++ program that answers from a GGUF file, how it is built, and how Python talks to it."""
