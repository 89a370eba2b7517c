"""Split an annotation file into train, val and test: python tools/split_coco.py FILE OUT_FOLDER."""

from ghm_mmdet.cli.split_coco import main

if __name__ == '__main__':
    main()
