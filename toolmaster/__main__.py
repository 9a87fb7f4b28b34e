"""`python -m toolmaster`, which launchers of several processes need."""

from toolmaster.cli import main

if __name__ == "__main__":
    main()
