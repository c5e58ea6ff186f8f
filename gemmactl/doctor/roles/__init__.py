"""Google's predefined roles by permission, as data that is read one service at a time. Knows no curated choice and no text."""
