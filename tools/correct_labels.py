"""Change labels that a detector contradicts: python tools/correct_labels.py FILE WORST OUT."""

from ghm_mmdet.cli.correct_labels import main

if __name__ == '__main__':
    main()
