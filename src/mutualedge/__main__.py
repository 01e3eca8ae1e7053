"""``python -m mutualedge`` is the command ``mutualedge``."""

from mutualedge.cli import main

if __name__ == "__main__":
    main()
