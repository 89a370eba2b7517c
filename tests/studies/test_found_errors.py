"""studies.found_errors: shares of planted errors in rankings whose answers can be read off."""

import pytest

from gradient_report.label_errors import Suspect
from studies.found_errors import found

BOXES = [[10 * index, 0, 8, 8] for index in range(4)]
CONTENT = {
    'categories': [{'id': 1, 'name': 'nut'}, {'id': 2, 'name': 'bolt'}],
    'annotations': [
        {'id': 1, 'image_id': 0, 'category_id': 1, 'bbox': BOXES[0], 'true_category_id': 2},
        {'id': 2, 'image_id': 0, 'category_id': 1, 'bbox': BOXES[1], 'true_bbox': [14, 0, 8, 8]},
        {'id': 3, 'image_id': 0, 'category_id': 1, 'bbox': BOXES[2], 'bogus': True},
        {'id': 4, 'image_id': 0, 'category_id': 1, 'bbox': BOXES[3]},
    ],
    'missing_annotations': [{'id': 5, 'image_id': 0, 'category_id': 1, 'bbox': [0, 50, 8, 8]}],
}


def suspect(box, norm, label=0):
    x, y, width, height = box
    corners = (x, y, x + width, y + height)
    return Suspect(0, '0.png', (100, 100), corners, label, 0.0, 0, norm, norm)


@pytest.mark.parametrize(('kind', 'place'), [('swapped', 0), ('shifted', 1), ('bogus', 2)])
@pytest.mark.parametrize('first', range(4))
def test_an_error_of_the_kind_is_a_hit_and_others_are_not(kind, place, first):
    suspects = [suspect(box, 0.9 if i == first else 0.1) for i, box in enumerate(BOXES)]
    shares = found(suspects, kind, CONTENT)
    assert shares['recall'] == (first == place)  # one is planted, so that one entry counts
    assert shares['precision at 50'] == 1 / 50
    assert shares['precision at 100'] == 1 / 100


def test_a_missing_object_is_found_once():
    near, far = [1, 50, 8, 8], [5, 50, 8, 8]
    shares = found([suspect(near, 0.9, None), suspect(near, 0.8, None)], 'missing', CONTENT)
    assert shares == {'precision at 50': 1 / 50, 'precision at 100': 1 / 100, 'recall': 1}
    assert found([suspect(far, 0.9, None)], 'missing', CONTENT)['recall'] == 0
