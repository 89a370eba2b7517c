"""Compare trainings: python tools/compare_runs.py WORK_DIR WORK_DIR ..."""

from ghm_mmdet.engine.compare_runs import main

if __name__ == '__main__':
    main()
