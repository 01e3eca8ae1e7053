"""One folder per technology; each imports its library, nobody else does."""
