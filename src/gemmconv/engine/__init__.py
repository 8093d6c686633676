"""The engine: the ways to compute each operation, what each costs, which one is taken, and the prepared call."""
