"""tools/print_config.py."""

from pathlib import Path

from mmengine.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]


def test_prints_the_merged_config_with_its_overrides(run_tool):
    path = REPOSITORY / 'configs' / 'ghm' / 'retinanet_r50_fpn_ghmc-1x_coco.py'
    option = 'model.bbox_head.loss_cls.bins=7'
    done = run_tool('print_config.py', path, '--cfg-options', option)
    expected = Config.fromfile(path)
    expected.merge_from_dict({'model.bbox_head.loss_cls.bins': 7})
    assert done.returncode == 0, done.stderr
    assert Config.fromstring(done.stdout, '.py').to_dict() == expected.to_dict()
