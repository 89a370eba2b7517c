"""The model index: what MMEngine, MIM and model zoos read of the configs."""

from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
INDEX = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text())
METAFILES = {name: yaml.safe_load((REPOSITORY / name).read_text()) for name in INDEX['Import']}
MODELS = [model for metafile in METAFILES.values() for model in metafile['Models']]
COLLECTIONS = [each for metafile in METAFILES.values() for each in metafile['Collections']]
# What the schema knows of a model and of a collection.
FIELDS = {'Name', 'Metadata', 'Results', 'Paper', 'Code', 'Weights', 'Config', 'README', 'Image'}


def test_every_metafile_is_in_the_index():
    found = {path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob('configs/*/*.yml')}
    assert set(INDEX) == {'Import'}
    assert sorted(INDEX['Import']) == sorted(found)


def test_every_config_is_listed_once():
    found = [
        path.relative_to(REPOSITORY).as_posix()
        for path in REPOSITORY.glob('configs/**/*.py')
        if '_base_' not in path.parts
    ]
    assert sorted(model['Config'] for model in MODELS) == sorted(found)


def test_names_of_collections_are_unique():
    names = [each['Name'] for each in COLLECTIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('collection', COLLECTIONS, ids=lambda each: each['Name'])
def test_collection(collection):
    assert collection.keys() <= FIELDS
    assert (REPOSITORY / collection['README']).is_file()
    assert collection['Paper'].keys() == {'URL', 'Title'}
    assert collection['Metadata'].keys() >= {'Training Data', 'Architecture'}


@pytest.mark.parametrize('model', MODELS, ids=lambda each: each['Name'])
def test_model(model):
    assert model.keys() <= {*FIELDS, 'In Collection'}
    assert model['Name'] == Path(model['Config']).stem
    assert model['In Collection'] in [each['Name'] for each in COLLECTIONS]
    assert model['Metadata'].keys() >= {'Epochs', 'Batch Size'}
    for result in model.get('Results', ()):
        assert result.keys() == {'Task', 'Dataset', 'Metrics'}
        assert 0 < result['Metrics']['box AP'] < 100


@pytest.mark.parametrize('model', MODELS, ids=lambda each: each['Name'])
def test_numbers_have_a_source_and_stand_in_the_readme(model):
    readme = (REPOSITORY / model['Config']).parent.joinpath('README.md').read_text()
    rows = [row for row in readme.splitlines() if f'({Path(model["Config"]).name})' in row]
    assert len(rows) == 1
    assert ('Source' in model['Metadata']) is ('Results' in model)
    for result in model.get('Results', ()):
        box_ap = result['Metrics']['box AP']
        assert f' {box_ap} ' in rows[0] or f' {box_ap / 100:.3f} ' in rows[0]
