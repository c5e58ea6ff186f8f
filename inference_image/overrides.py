"""Owns corrections of a checkpoint's small files: their form, their limits, and what a file is with them. Reads no file."""
