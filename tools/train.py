"""Train a detector: python tools/train.py CONFIG."""

from ghm_mmdet.cli.train import main

if __name__ == '__main__':
    main()
