"""Live checks: one question each, with three ends: ok, finding, unknown. Read calls only."""
