"""`python -m lexiseg` is `lexiseg`."""

from lexiseg.apps.cli import main

if __name__ == "__main__":
    main()
