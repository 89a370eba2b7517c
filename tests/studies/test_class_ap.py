"""AP by class: that of each run's latest evaluation on the test split."""

import json

import pytest

from studies.class_ap import main


def write_evaluation(folder, start, **metrics):
    path = folder / 'test' / start / f'{start}.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(metrics) + '\n')


def test_the_latest_evaluation_of_every_evaluated_run(tmp_path, capsys):
    first = {'coco/RBC_precision': 0.1, 'coco/bbox_mAP_50': 0.4}
    focal, ghmc = tmp_path / 'focal' / 'seed3', tmp_path / 'ghmc' / 'seed0'
    write_evaluation(focal, '20260101_000000', **first)
    write_evaluation(focal, '20260102_000000', **{**first, 'coco/RBC_precision': 0.625})
    write_evaluation(ghmc, '20260101_000000', **first)
    (tmp_path / 'ghmc' / 'seed1').mkdir()
    main([str(tmp_path)])
    assert capsys.readouterr().out.split() == [
        'row,seed,class,ap',
        'focal,3,RBC,62.5',
        'ghmc,0,RBC,10.0',
    ]


@pytest.mark.parametrize(('runs', 'message'), [(0, 'no ROW/seedN/test'), (1, 'no AP by class')])
def test_what_is_missing_is_one_line(tmp_path, capsys, runs, message):
    for seed in range(runs):
        folder = tmp_path / 'focal' / f'seed{seed}'
        write_evaluation(folder, '20260101_000000', **{'coco/bbox_mAP_50': 0.4})
    with pytest.raises(SystemExit, match=message):
        main([str(tmp_path)])
