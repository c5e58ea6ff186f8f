"""One kind of thing, one file. Knows the cloud only as the protocols of cloud.py."""
