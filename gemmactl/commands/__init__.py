"""One verb, one file: options in, one call, a Result out."""
