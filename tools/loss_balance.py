"""Show how hard each loss pulls at the shared features: python tools/loss_balance.py CONFIG."""

from ghm_mmdet.cli.loss_balance import main

if __name__ == '__main__':
    main()
