"""Densities against the paper's definitions, written out as loops in float64."""

import pytest
import torch

from benchmarks.exact_density import exact_gradient_density
from ghm_mmdet.method.density import (
    ExactDensity,
    GradientDensity,
    UnitRegionDensity,
    harmonizing_weight,
    region_edges,
    region_index,
)

DISTRIBUTIONS = {
    'uniform': lambda n, generator: torch.rand(n, generator=generator),
    'easy': lambda n, generator: torch.rand(n, generator=generator) ** 6,
    'both ends': lambda n, generator: (torch.randn(n, generator=generator) * 4).sigmoid(),
    'grid': lambda n, generator: torch.randint(0, 31, (n,), generator=generator) / 30,
}


def draw(name, size, seed=0):
    return DISTRIBUTIONS[name](size, torch.Generator().manual_seed(seed))


def density_by_definition(norms, epsilon):
    densities = []
    for centre in norms:
        window = sum(centre - epsilon / 2 <= other < centre + epsilon / 2 for other in norms)
        length = min(centre + epsilon / 2, 1) - max(centre - epsilon / 2, 0)
        densities.append(window / length)
    return torch.tensor(densities, dtype=torch.float64)


def count_regions(norms, edges):
    return torch.bincount(region_index(norms, edges), minlength=edges.numel() - 1)


@pytest.mark.parametrize('bins', [1, 5, 10, 30, 40, 100])
def test_regions_are_half_open_between_float32_edges(bins):
    edges = region_edges(bins)
    neighbours = torch.cat(
        [edges, edges.nextafter(torch.tensor(-1.0)), edges.nextafter(torch.tensor(2.0))]
    )
    norms = torch.cat([neighbours.clamp(0, 1), draw('uniform', 500)])
    for norm, index in zip(norms.tolist(), region_index(norms, edges).tolist()):
        assert edges[index] <= norm
        assert norm < edges[index + 1] or index == bins - 1


@pytest.mark.parametrize('name', DISTRIBUTIONS)
@pytest.mark.parametrize('size', [1, 2, 77, 500])
@pytest.mark.parametrize('epsilon', [1 / 30, 0.1, 0.37, 1.0])
def test_sorting_gives_the_definition(name, size, epsilon):
    norms = draw(name, size).double()
    oracle = density_by_definition(norms.tolist(), epsilon)
    torch.testing.assert_close(exact_gradient_density(norms, epsilon), oracle, rtol=1e-12, atol=0)


@pytest.mark.parametrize('name', DISTRIBUTIONS)
@pytest.mark.parametrize('epsilon', [1 / 30, 0.1, 0.37, 1.0])
def test_fine_histogram_is_within_its_error_bound(name, epsilon):
    norms = draw(name, 20000)
    module = ExactDensity(epsilon)
    counts = count_regions(norms, module.edges)
    fine = module.density(counts, module.average(counts))[region_index(norms, module.edges)]
    sorted_norms = norms.double().sort().values
    width, slack = 1 / module.bins, 1e-6

    def examples_between(low, high):
        upper = torch.searchsorted(sorted_norms, high, right=True)
        return upper - torch.searchsorted(sorted_norms, low)

    def touched(position):
        """Examples in the cells that half a cell to either side of a window's edge touches."""
        low = ((position - width / 2 - slack) / width).floor() * width
        high = ((position + width / 2 + slack) / width).floor() * width + width
        return examples_between(low - slack, high + slack)

    norms = norms.double()
    off_count = touched(norms - epsilon / 2) + touched(norms + epsilon / 2)
    length = (norms + epsilon / 2).clamp(max=1) - (norms - epsilon / 2).clamp(min=0)
    exact = exact_gradient_density(norms, epsilon)
    relative_length = 1 / (2 * module.CELLS_PER_HALF_WINDOW - 1)
    bound = (off_count / length + exact * relative_length) * (1 + relative_length)
    assert ((fine - exact).abs() <= bound + 1e-3).all()


@pytest.mark.parametrize('epsilon', [1 / 30, 0.1, 0.07, 0.5, 1])
def test_windows_of_few_examples_beside_many_millions(epsilon):
    """Against the sums in float64; cells differ by 12 powers of ten."""
    module = ExactDensity(epsilon)
    random = torch.Generator().manual_seed(0)
    cells = 10 ** (12 * torch.rand(module.bins, generator=random) - 3)
    found = module.density(cells.long(), [cells])
    place = torch.arange(module.bins, dtype=torch.float64) + 0.5
    lower, upper = (place[:, None] + side * epsilon / 2 * module.bins for side in (-1, 1))
    edge = torch.arange(module.bins, dtype=torch.float64)
    covered = (upper.minimum(edge + 1) - lower.maximum(edge)).clamp(min=0)
    length = (upper.clamp(max=module.bins) - lower.clamp(min=0)) / module.bins
    oracle = (covered * cells).sum(1) / length.squeeze(1)
    torch.testing.assert_close(found.double(), oracle, rtol=1e-5, atol=0)


def test_exact_density_of_a_uniform_distribution_is_n():
    norms = (torch.arange(200_000) + 0.5) / 200_000
    module = ExactDensity(1 / 30)
    counts = count_regions(norms, module.edges)
    density = module.density(counts, module.average(counts))
    torch.testing.assert_close(density, torch.full_like(density, 200_000), rtol=0.02, atol=0)


@pytest.mark.parametrize('form', ['mmdet', 'paper'])
def test_uniform_counts_give_beta_of_one(form):
    module = UnitRegionDensity(8, form)
    counts = torch.full((8,), 25)
    beta = harmonizing_weight(module.density(counts, module.average(counts)), counts.sum())
    torch.testing.assert_close(beta, torch.ones(8))


def test_a_density_without_its_formula_cannot_be_made():
    with pytest.raises(TypeError, match='abstract'):
        GradientDensity(10, 0, False, False)


def test_a_misspelt_choice_is_refused():
    with pytest.raises(ValueError, match=r"^form='papers': must be one of '"):
        UnitRegionDensity(10, form='papers')


def test_a_correction_without_an_average_is_refused():
    with pytest.raises(ValueError, match=r'^bias_correction=True: must be False where momentum=0$'):
        UnitRegionDensity(10, bias_correction=True)


@pytest.mark.parametrize('form', ['mmdet', 'paper'])
@pytest.mark.parametrize('bias_correction', [False, True])
@pytest.mark.parametrize('momentum', [0.5, 0.9])
def test_moving_average_is_the_recurrence(form, bias_correction, momentum):
    module = UnitRegionDensity(6, form, momentum, bias_correction)
    average, updates = [0.0] * 6, [0] * 6
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        counts = torch.randint(0, 3, (6,), generator=generator) * 10
        state = module.average(counts)
        density = module.density(counts, state)
        module.store(state, keep_old=torch.tensor(False))
        for region, count in enumerate(counts.tolist()):
            if count or form == 'paper':
                average[region] = momentum * average[region] + (1 - momentum) * count
                updates[region] += 1
        regions = sum(count > 0 for count in counts.tolist()) if form == 'mmdet' else 6
        for region in counts.nonzero().flatten().tolist():
            start = 1 - momentum ** updates[region] if bias_correction else 1
            expected = average[region] / start * regions
            assert density[region].item() == pytest.approx(expected, rel=1e-5)


def test_exact_density_averages_its_fine_counts():
    module, momentum = ExactDensity(0.1, momentum=0.6, bias_correction=True), 0.6
    first, second = (count_regions(draw('easy', 500, seed), module.edges) for seed in (1, 2))
    module.store(module.average(first), keep_old=torch.tensor(False))
    smoothed = module.density(second, module.average(second))
    weights = momentum * (1 - momentum), 1 - momentum
    plain = ExactDensity(0.1)
    densities = [plain.density(counts, plain.average(counts)) for counts in (first, second)]
    oracle = (weights[0] * densities[0] + weights[1] * densities[1]) / (1 - momentum**2)
    torch.testing.assert_close(smoothed, oracle, rtol=1e-4, atol=1e-3)


def test_store_keeps_the_old_state_on_demand():
    module = UnitRegionDensity(4, momentum=0.5, bias_correction=True)
    counts = torch.tensor([1, 2, 3, 4])
    module.store(module.average(counts), keep_old=torch.tensor(False))
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    module.store(module.average(counts * 9), keep_old=torch.tensor(True))
    for name, buffer in module.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)
