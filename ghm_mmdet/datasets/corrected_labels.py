"""Annotations with the classes that a trained detector believes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def correct_labels(
    annotations: Sequence[dict], suspects: Mapping[int | str, dict], above: float
) -> list[dict]:
    """Give objects the class that the detector sees, where it contradicts the annotated one.

    Args:
        annotations: Of a COCO file; they are not modified.
        suspects: By the id of the annotation, those of ``analysis.labelling.coco_of_suspects``.
        above: A class is changed where g of the annotation is larger. From 1/2 on the detector
            has a higher score for another class than for the annotated one.

    Returns:
        As many annotations. One that was changed has the category of before the first change as
        ``annotated_category_id``.
    """

    def corrected(annotation: dict) -> dict:
        suspect = suspects.get(annotation['id'])
        believed = None if suspect is None else suspect['believed_category_id']
        if believed is None or suspect['gradient_norm'] <= above:
            return annotation
        first = annotation.get('annotated_category_id', annotation['category_id'])
        return {**annotation, 'category_id': believed, 'annotated_category_id': first}

    return [corrected(each) for each in annotations]
