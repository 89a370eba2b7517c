"""Evaluate a checkpoint: python tools/test.py CONFIG CHECKPOINT."""

from ghm_mmdet.engine.test import main

if __name__ == '__main__':
    main()
