"""Bad input to the tools: status 1, one line on stderr, nothing built or written."""

import pytest

BROKEN = {
    'train on a missing config': ('train.py', ['none.py'], 'config none.py: no such file'),
    'train without an annotation file': (
        'train.py',
        ['small.py', '--cfg-options', 'train_dataloader.dataset.ann_file=none.json'],
        'none.json: no such annotation file',
    ),
    'train with a bad argument of a loss': (
        'train.py',
        ['small.py', '--cfg-options', 'model.bbox_head.loss_cls.bins=0'],
        'model.bbox_head.loss_cls: bins=0: must be',
    ),
    'test a missing checkpoint': ('test.py', ['small.py', 'none.pth'], 'none.pth: no such'),
}


@pytest.mark.parametrize(('tool', 'arguments', 'message'), BROKEN.values(), ids=BROKEN)
def test_one_line_and_nothing_written(small_config, run_tool, tmp_path, tool, arguments, message):
    before = sorted(tmp_path.rglob('*'))
    done = run_tool(tool, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and message in done.stderr
    assert done.stderr.count('\n') == 1
    assert sorted(tmp_path.rglob('*')) == before


def test_debug_shows_the_traceback(run_tool):
    done = run_tool('print_config.py', 'none.py', '--debug')
    assert done.returncode == 1
    assert 'Traceback' in done.stderr
    assert done.stderr.strip().endswith('ConfigError: config none.py: no such file')
