"""What the program costs, measured beside what it could cost at least; ``make bench`` runs it."""
