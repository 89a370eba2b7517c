"""The tables of the paper, of its authors' repository and of MMDetection's model zoo.

Each row has the config that trains it and the numbers that were published for it on COCO.
"""

from __future__ import annotations

from studies.tables import Published, Row, Table

NOTES = 'reading notes of the paper (arXiv 1811.05181), not checked against the paper itself'
AUTHORS = "the authors' README (github.com/libuyu/GHM_Detection)"
MODEL_ZOO = "MMDetection's model zoo (configs/ghm)"


def _retinanet(change: str, backbone: str = 'r50', folder: str = 'ghm') -> str:
    return f'{folder}/retinanet_{backbone}_fpn_{change}-1x_coco.py'


CROSS_ENTROPY = _retinanet('ce-smooth-l1')
FOCAL = _retinanet('focal-smooth-l1')
GHM_C = _retinanet('ghmc')
GHM = _retinanet('ghm')

TABLES = {
    'regions': Table(
        'Number M of unit regions: GHM-C and smooth L1',
        (
            Row('m5', 'M = 5', _retinanet('ghmc-m5', folder='paper'), Published(33.4)),
            Row('m10', 'M = 10', _retinanet('ghmc-m10', folder='paper'), Published(34.6)),
            Row('m20', 'M = 20', _retinanet('ghmc-m20', folder='paper'), Published(35.2)),
            Row('m30', 'M = 30', GHM_C, Published(35.8)),
            Row('m40', 'M = 40', _retinanet('ghmc-m40', folder='paper'), Published(35.4)),
        ),
        source=NOTES,
    ),
    'classification': Table(
        'Classification loss, with smooth L1',
        (
            Row('ce', 'CE', CROSS_ENTROPY, Published(28.6)),
            Row(
                'ohem',
                'OHEM (on COCO: ResNet-101)',
                _retinanet('ohem-smooth-l1', 'r101', 'paper'),
                Published(31.1),
            ),
            Row('focal', 'focal loss', FOCAL, Published(35.6)),
            Row('ghmc', 'GHM-C', GHM_C, Published(35.8, 55.5, 38.1)),
        ),
        source=NOTES,
    ),
    'regression': Table(
        'Box loss, with GHM-C',
        (
            Row('sl1', 'smooth L1', GHM_C, Published(35.8)),
            Row('asl1', 'ASL1', _retinanet('ghmc-asl1'), Published(35.7)),
            Row('ghmr', 'GHM-R', GHM, Published(36.4, 54.6, 38.7)),
        ),
        source=NOTES,
    ),
    'two-stage': Table(
        'Box loss of Faster R-CNN',
        (
            Row(
                'sl1',
                'smooth L1',
                'paper/faster-rcnn_r50_fpn_smooth-l1-1x_coco.py',
                Published(36.4, 58.7, 38.8),
            ),
            Row(
                'ghmr',
                'GHM-R',
                'detectors/faster-rcnn_r50_fpn_ghmr-1x_coco.py',
                Published(37.4, 58.9, 39.9),
            ),
        ),
        source=NOTES,
        coco_only='the losses of a two-stage detector',
    ),
    'density': Table(
        'Gradient density by its definition and by unit regions: GHM-C and smooth L1',
        (
            Row('ce', 'CE', CROSS_ENTROPY, Published(28.6, seconds=0.566)),
            Row(
                'exact',
                'GHM-C, standard (exact)',
                _retinanet('ghmc-exact', folder='paper'),
                Published(35.9, seconds=13.675),
            ),
            Row('unit-region', 'GHM-C, unit regions', GHM_C, Published(35.8, seconds=0.824)),
        ),
        source=NOTES,
    ),
    'test-dev': Table(
        'Single model, ResNeXt-101-32x8d',
        (
            Row(
                'focal',
                'focal loss, smooth L1',
                _retinanet('focal-smooth-l1', 'x101-32x8d', 'paper'),
                Published(40.8),
            ),
            Row(
                'ghm',
                'GHM-C, GHM-R',
                _retinanet('ghm', 'x101-32x8d', 'paper'),
                Published(41.6, 62.8),
            ),
        ),
        source=NOTES,
        published_on='COCO test-dev',
        coco_only='a backbone pretrained on ImageNet',
    ),
    'released': Table(
        "The authors' released code",
        (
            Row('focal', 'focal loss, smooth L1', FOCAL, Published(35.6)),
            Row('ghmc', 'GHM-C, smooth L1', GHM_C, Published(35.8)),
            Row('ghm', 'GHM-C, GHM-R', GHM, Published(37.0)),
        ),
        source=AUTHORS,
    ),
    'model-zoo': Table(
        'Backbones, GHM-C and GHM-R',
        (
            Row('r50', 'ResNet-50', GHM, Published(37.0)),
            Row('r101', 'ResNet-101', _retinanet('ghm', 'r101'), Published(39.1)),
            Row(
                'x101-32x4d', 'ResNeXt-101-32x4d', _retinanet('ghm', 'x101-32x4d'), Published(40.7)
            ),
            Row(
                'x101-64x4d', 'ResNeXt-101-64x4d', _retinanet('ghm', 'x101-64x4d'), Published(41.4)
            ),
        ),
        source=MODEL_ZOO,
        published_on='COCO val2017',
        coco_only='backbones pretrained on ImageNet',
    ),
}
"""By name, in the paper's order; the last two are not the paper's."""
