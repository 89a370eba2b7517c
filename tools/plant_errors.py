"""Plant wrong labels and missing boxes in a COCO file: python tools/plant_errors.py FILE OUT."""

from ghm_mmdet.engine.plant_errors import main

if __name__ == '__main__':
    main()
