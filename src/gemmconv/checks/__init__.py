"""Everything that raises for an argument, before anything is allocated or written."""
