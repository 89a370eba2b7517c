"""Train a detector: python tools/train.py CONFIG."""

from ghm_mmdet.engine.train import main

if __name__ == '__main__':
    main()
