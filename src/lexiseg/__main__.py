"""`python -m lexiseg` is `lexiseg`."""

from lexiseg.cli.main import main

if __name__ == "__main__":
    main()
