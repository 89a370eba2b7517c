"""Show what a detector's losses see: python tools/analyze_gradients.py CONFIG CHECKPOINT."""

from ghm_mmdet.cli.analyze_gradients import main

if __name__ == '__main__':
    main()
