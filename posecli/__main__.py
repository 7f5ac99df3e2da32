"""`python -m posecli` is `posecli`."""

from posecli.cli.main import run

if __name__ == "__main__":
    run()
