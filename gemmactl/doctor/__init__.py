"""Known failures as rows, diagnosis, remedies."""
