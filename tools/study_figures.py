"""Draw the studies' figures: python tools/study_figures.py noise|density ... --out FILE.png."""

from ghm_mmdet.engine.study_figures import main

if __name__ == '__main__':
    main()
