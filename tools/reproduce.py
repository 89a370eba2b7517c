"""Run a table of the paper: python tools/reproduce.py TABLE."""

from pathlib import Path

from ghm_mmdet.engine.reproduce import main

if __name__ == '__main__':
    main(root=Path(__file__).resolve().parents[1])
