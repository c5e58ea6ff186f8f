"""One Google API, one file. With the sandbox the only room that imports google.*."""
