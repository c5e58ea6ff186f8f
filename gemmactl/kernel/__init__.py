"""Plan and apply for any kind of thing. Knows no Google and no screen."""
