"""Tests of the house itself: walls, lint, packaging, documents."""
