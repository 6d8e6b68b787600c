"""`python -m quantrial` is `quantrial`."""

from quantrial.cli import main

if __name__ == "__main__":
    main()
