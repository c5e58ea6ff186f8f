"""An embedded, pretended Google Cloud on loopback."""
