"""The figures of the demonstration are pictures, and their file's suffix says of which kind."""

import numpy as np
import pytest

from demo.figures import save_harmonizing_figure, save_training_figure

COUNTS = np.array([900, 300, 0, 40, 7, 0, 3, 1, 20, 60])


@pytest.mark.parametrize('suffix', ['png', 'svg'])
def test_figures_are_written(tmp_path, suffix):
    counts = {'loss_cls': COUNTS, 'loss_bbox': COUNTS[:5]}
    titles = {'loss_cls': ('Classification', 'g'), 'loss_bbox': ('Boxes', 'gr')}
    save_training_figure(tmp_path / f'training.{suffix}', counts, counts, titles)
    save_harmonizing_figure(tmp_path / f'harmonizing.{suffix}', COUNTS)
    signature = {'png': b'\x89PNG', 'svg': b'<?xml'}[suffix]
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    for path in files:
        assert path.read_bytes().startswith(signature)
