"""Print a config with everything that it inherits: python tools/print_config.py CONFIG."""

from ghm_mmdet.engine.print_config import main

if __name__ == '__main__':
    main()
