"""Known failures: from a text or a live project to cause, principal, role and fix. Knows no Google client and no screen."""
