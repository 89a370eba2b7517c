"""The notebook that goes from the sample data to the report, as it is stored and as it runs.

After a change of its cells, `.venv/bin/jupyter execute --inplace FILE` writes its results anew.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from ghm_mmdet.datasets.coco_file import read_coco_file
from tests.processes import REPOSITORY, environment

NOTEBOOK = REPOSITORY / 'docs/notebooks/sample-to-report.ipynb'
NEEDED = ('configs', 'demo', 'ghm_mmdet', 'studies', 'tools')
LARGEST = 200_000  # bytes
PATIENCE = 1800  # seconds for a cell; the training takes 2 minutes on a core of its own
FIRST = 25  # entries of the report
ABSOLUTE = re.compile(r'(?<![\w.*:/-])(?:/\w[\w.-]*/|[A-Z]:\\)')

nbformat = pytest.importorskip('nbformat', reason='needs requirements/notebook.txt')
nbclient = pytest.importorskip('nbclient', reason='needs requirements/notebook.txt')


@pytest.fixture(scope='module')
def stored():
    """The notebook in the repository."""
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder like a checkout with the notebook in it; Jupyter writes beside it."""
    for name in ('JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'JUPYTER_CONFIG_DIR', 'IPYTHONDIR'):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    folder = tmp_path / 'checkout'
    copy = folder / NOTEBOOK.relative_to(REPOSITORY)
    copy.parent.mkdir(parents=True)
    shutil.copy(NOTEBOOK, copy)
    for name in NEEDED:
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def code_cells(book) -> list:
    return [cell for cell in book.cells if cell.cell_type == 'code']


def printed(book) -> str:
    """What all cells have printed."""
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    return ''.join(output.text for output in outputs if output.output_type == 'stream')


def undone(annotation: dict, record: str) -> dict:
    """An annotation with the class that it had before, which is on record in it."""
    before = dict(annotation)
    if record in before:
        before['category_id'] = before.pop(record)
    return before


def test_what_is_stored_is_a_notebook_that_ran_from_top_to_bottom(stored):
    nbformat.validate(stored)
    cells = code_cells(stored)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        ast.parse(cell.source)
        assert all(output.output_type in ('stream', 'display_data') for output in cell.outputs)
        assert all(output.get('name') != 'stderr' for output in cell.outputs)


def test_what_is_stored_is_small_and_of_no_machine(stored):
    assert NOTEBOOK.stat().st_size < LARGEST
    assert stored.metadata.kernelspec.name == 'python3'
    outputs = [output for cell in code_cells(stored) for output in cell.outputs]
    shown = [output.data for output in outputs if 'data' in output]
    assert shown
    assert all(set(data) == {'image/jpeg', 'text/plain'} for data in shown)
    texts = [cell.source for cell in stored.cells] + [data['text/plain'] for data in shown]
    assert [found for text in (*texts, printed(stored)) for found in ABSOLUTE.findall(text)] == []


def test_its_links_lead_to_pages(stored):
    text = '\n'.join(cell.source for cell in stored.cells if cell.cell_type == 'markdown')
    links = re.findall(r'\]\(([^)#]+)', text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


@pytest.mark.long
def test_it_runs_and_its_report_finds_the_planted_errors(checkout, stored):
    path = checkout / NOTEBOOK.relative_to(REPOSITORY)
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        book,
        timeout=PATIENCE,
        kernel_name='python3',
        record_timing=False,
        resources={'metadata': {'path': str(path.parent)}},
    )
    client.execute(env=environment())
    nbformat.write(book, path)  # to be looked at

    work = checkout / 'work_dirs/notebook'
    assert (work / 'report/report.html').is_file()
    names = ('', '_noisy', '_corrected')
    paths = [work / f'sample/annotations/instances_train{name}.json' for name in names]
    truth, noisy, corrected = (read_coco_file(str(each)).annotations for each in paths)

    # each step has left the file of the step before as it was
    assert [undone(each, 'true_category_id') for each in noisy] == truth
    assert [undone(each, 'annotated_category_id') for each in corrected] == noisy
    ages = [each.stat().st_mtime for each in paths]
    assert ages == sorted(ages)

    planted = {each['id'] for each in noisy if 'true_category_id' in each}
    ranked = read_coco_file(str(work / 'report/worst_labels.json')).annotations
    found = sum(each['id'] in planted for each in ranked[:FIRST])
    assert found / FIRST > 0.5 > 3 * len(planted) / len(ranked)
    assert f'{found} of the first {FIRST} entries' in printed(book)

    right = {each['id']: each['category_id'] for each in truth}
    wrong = sum(each['category_id'] != right[each['id']] for each in corrected)
    assert 0 < wrong < len(planted)
    assert f'{len(planted)} before, {wrong} after' in printed(book)
