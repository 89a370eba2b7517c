"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT."""

from ghm_mmdet.cli.test import main

if __name__ == '__main__':
    main()
