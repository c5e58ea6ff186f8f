"""Data files into rows that can be trained on, and what is wrong with them by line. Standard library, or imported late."""
