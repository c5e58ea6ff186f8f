"""A client of a running service, in the standard library so that it starts fast. Knows no cloud: address and token are given."""
