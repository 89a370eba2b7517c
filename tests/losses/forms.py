"""The forms of the targets that GHM-C takes, with the same targets in full."""

import torch

CLASSES = 4
FORMS = ('labels', 'labels and score', 'values', 'softmax labels', 'softmax values')


def batch(form, size=60, seed=0):
    """Predictions, the target as a head hands it over, the same in full, and weights."""
    random = torch.Generator().manual_seed(seed)
    width = CLASSES + form.startswith('softmax')
    prediction = torch.randn(size, width, generator=random) * 2
    labels = torch.randint(0, CLASSES + 1, (size,), generator=random)
    full = torch.nn.functional.one_hot(labels, CLASSES + 1)[:, :width].float()
    weight = (torch.rand(size, generator=random) > 0.3).float() * 2
    target = labels
    if form == 'labels and score':
        score = torch.rand(size, generator=random)
        target, full = (labels, score), full * score[:, None]
    elif form.endswith('values'):
        full = torch.rand(size, width, generator=random)
        if form.startswith('softmax'):
            full = full / full.sum(1, keepdim=True)
        target = full
    return prediction, target, full, weight
