"""Composition roots, process files, the driver, founding, the rehearsal, export and audit."""
