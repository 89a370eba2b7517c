"""Check data sets: python tools/check_data.py CONFIG, or --ann FILE --images FOLDER."""

import sys

from ghm_mmdet.cli.check_data import main

if __name__ == '__main__':
    sys.exit(main())
