"""The one room that may start the engine or the server on this machine."""
