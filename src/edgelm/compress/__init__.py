"""Compression: a recipe of steps makes a smaller dense model in stock format."""
