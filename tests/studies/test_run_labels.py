"""Labels of runs: short, and all different."""

from pathlib import Path

import pytest

from studies.run_labels import run_labels

CASES = {
    'one': (['a/retinanet_ghm'], ['retinanet_ghm']),
    'the middle differs': (
        [f'w/retinanet_r18_fpn_{loss}-6e_bccd' for loss in ('focal', 'ghm', 'ghm-pyramid')],
        ['focal', 'ghm', 'ghm-pyramid'],
    ),
    'one goes on where another ends': (['w/my_data', 'w/my_data_2x'], ['my_data', 'my_data_2x']),
    'parents that do': (['my_data/a', 'my_data-2x/a'], ['my_data/a', 'my_data-2x/a']),
    'numbers that do': (['w/my_seed_1', 'w/my_seed_10'], ['seed_1', 'seed_10']),
    'nothing shared': (['w/focal', 'v/ghm'], ['focal', 'ghm']),
    'only part of a word shared': (['w/ghmc', 'w/ghmr'], ['ghmc', 'ghmr']),
    'the same name in other folders': (['x/a/run', 'x/b/run'], ['a', 'b']),
    'some of the same name': (['x/a/run', 'x/b/run', 'x/b/best'], ['a/run', 'b/run', 'b/best']),
    'numbers': (['w/ghm_seed_0', 'w/ghm_seed_1'], ['seed_0', 'seed_1']),
    'nothing but marks': (['w/_run', 'w/run'], ['_run', 'run']),
    'starts': (['w/20260101_090000', 'w/20260101_173000'], ['20260101_090000', '20260101_173000']),
}


@pytest.mark.parametrize(('paths', 'labels'), CASES.values(), ids=CASES)
def test_labels(paths, labels):
    assert run_labels([Path(path) for path in paths]) == labels
    assert run_labels([Path('/somewhere', path) for path in reversed(paths)]) == labels[::-1]
