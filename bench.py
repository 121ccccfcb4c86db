"""The benchmark's command line; `python bench.py --help` explains it, bench/cli/app.py defines it."""

import sys

if __name__ == "__main__":
    try:
        from bench.cli.app import app
        from bench.surroundings import degrade_output
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(
            "error: the libraries are not in this Python; call .venv/bin/python bench.py, which `make setup` makes"
        )
    degrade_output()
    app()
