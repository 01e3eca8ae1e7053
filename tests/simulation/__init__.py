"""The whole consortium under faults, from one seed."""
