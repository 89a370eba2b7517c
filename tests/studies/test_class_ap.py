"""AP by class: that of the last validation of each run."""

import pytest

from studies.class_ap import main
from tests.studies.run_logs import train_line, val_line, write_start


def write_run(folder, *validations):
    lines = [
        line
        for epoch, metrics in enumerate(validations, 1)
        for line in (train_line(10 * epoch, epoch), val_line(epoch, 0.5, **metrics))
    ]
    write_start(folder, lines)


def test_the_last_validation_of_every_run(tmp_path, capsys):
    first = {'coco/RBC_precision': 0.1, 'coco/bbox_mAP_50': 0.4}
    write_run(tmp_path / 'focal' / 'seed3', first, {**first, 'coco/RBC_precision': 0.625})
    write_run(tmp_path / 'ghmc' / 'seed0', first)
    main([str(tmp_path)])
    assert capsys.readouterr().out.split() == [
        'row,seed,class,ap',
        'focal,3,RBC,62.5',
        'ghmc,0,RBC,10.0',
    ]


@pytest.mark.parametrize(('runs', 'message'), [(0, 'no ROW/seedN'), (1, 'no AP by class')])
def test_what_is_missing_is_one_line(tmp_path, capsys, runs, message):
    for seed in range(runs):
        write_run(tmp_path / 'focal' / f'seed{seed}', {'coco/bbox_mAP_50': 0.4})
    with pytest.raises(SystemExit, match=message):
        main([str(tmp_path)])
