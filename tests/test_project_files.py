"""The files for citing, hosting and contributing, against what they speak of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ghm_mmdet.environment import doctor
from tests.processes import REPOSITORY, environment

GITHUB = REPOSITORY / '.github'
WORKFLOWS = sorted((GITHUB / 'workflows').glob('*.yml'))
FORMS = [
    path for path in sorted((GITHUB / 'ISSUE_TEMPLATE').glob('*.yml')) if path.stem != 'config'
]
# What each kind of element of a form has to have.
ELEMENTS = {
    'markdown': {'value'},
    'textarea': {'label'},
    'input': {'label'},
    'dropdown': {'label', 'options'},
    'checkboxes': {'label', 'options'},
}
NAME_THE_ADDRESS = (
    'CITATION.cff',
    'mkdocs.yml',
    'pyproject.toml',
    '.github/ISSUE_TEMPLATE/config.yml',
)
NAME_COMMANDS = (
    'CONTRIBUTING.md',
    '.github/PULL_REQUEST_TEMPLATE.md',
    '.github/ISSUE_TEMPLATE/bug_report.yml',
)


def load(name: str | Path) -> dict:
    """What a file in YAML says."""
    return yaml.safe_load((REPOSITORY / name).read_text())


def name_of(path: Path) -> str:
    return path.stem


def steps(workflow: str) -> Iterator[dict]:
    """The steps of all jobs of a workflow."""
    for job in load(f'.github/workflows/{workflow}.yml')['jobs'].values():
        yield from job['steps']


def commands(workflow: str) -> list[str]:
    return [step['run'] for step in steps(workflow) if 'run' in step]


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, in the default environment, without its set-up."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith('MAKE')}
    make = ['make', '--no-print-directory', '-n', target, '-o', 'setup', 'VENV=.venv']
    done = subprocess.run(
        make, cwd=REPOSITORY, env=outside, check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_the_citation_names_the_software_and_the_paper():
    citation = load('CITATION.cff')
    for key in ('cff-version', 'message', 'title', 'authors'):
        assert citation[key], f'the format requires {key}'
    assert citation['authors'] == [{'name': 'The ghm-mmdet authors'}]
    assert f"license='{citation['license']}'" in (REPOSITORY / 'setup.py').read_text()
    (paper,) = citation['references']
    assert [each['family-names'] for each in paper['authors']] == ['Li', 'Liu', 'Wang']
    (preprint,) = (each['value'] for each in paper['identifiers'])
    number = re.search(r'arxiv\.org/abs/([\d.]+)', (REPOSITORY / 'README.md').read_text())[1]
    assert preprint == f'arXiv:{number}'


def test_all_files_name_one_address():
    named = {
        name: set(re.findall(r'https://github\.com/[\w-]+/[\w-]+', (REPOSITORY / name).read_text()))
        for name in NAME_THE_ADDRESS
    }
    assert named == {name: {load('CITATION.cff')['repository-code']} for name in named}
    site = load('mkdocs.yml')['site_url']
    assert site == load('CITATION.cff')['url']
    assert f"Documentation = '{site}'" in (REPOSITORY / 'pyproject.toml').read_text()


def test_a_new_issue_leads_to_pages_that_are_there():
    links = [each['url'] for each in load('.github/ISSUE_TEMPLATE/config.yml')['contact_links']]
    prefix = f'{load("CITATION.cff")["repository-code"]}/blob/main/'
    assert all(link.startswith(prefix) for link in links)
    assert all((REPOSITORY / link[len(prefix) :]).is_file() for link in links)


def test_ci_runs_what_has_to_pass_before_a_change_is_merged():
    script = (REPOSITORY / '.ci' / 'run').read_text().splitlines()
    needed = [line for line in script if line.startswith('make ')]
    assert commands('ci') == ['make setup', *needed]


def test_what_is_published_is_what_make_docs_builds():
    assert commands('docs') == ['make docs']
    (upload,) = (each for each in steps('docs') if 'upload-pages' in each.get('uses', ''))
    assert upload['with']['path'] == load('mkdocs.yml')['site_dir']


@pytest.mark.parametrize('path', WORKFLOWS, ids=name_of)
def test_a_workflow_may_read_and_ends(path):
    workflow = load(path)
    assert workflow['permissions'] == {'contents': 'read'}
    assert workflow['concurrency']['group']
    assert all(job['timeout-minutes'] <= 180 for job in workflow['jobs'].values())
    # what may write runs no code of the repository
    writing = [
        job for job in workflow['jobs'].values() if 'write' in job.get('permissions', {}).values()
    ]
    assert [step for job in writing for step in job['steps'] if 'run' in step] == []
    used = [step['uses'] for step in steps(path.stem) if 'uses' in step]
    assert [each for each in used if not re.fullmatch(r'actions/[\w-]+@v\d+', each)] == []


def test_a_commit_is_checked_as_make_lint_does():
    (local,) = load('.pre-commit-config.yaml')['repos']
    hooks = local['hooks']
    assert [hook['entry'] for hook in hooks] == recipe('lint')
    # each looks at all files, as its own settings say
    assert not any(hook['pass_filenames'] for hook in hooks)


@pytest.mark.parametrize('path', FORMS, ids=name_of)
def test_an_issue_form_is_one(path):
    form = load(path)
    assert form['name']
    assert form['description']
    for element in form['body']:
        assert ELEMENTS[element['type']] <= element['attributes'].keys()
    named = [element['id'] for element in form['body'] if element['type'] != 'markdown']
    assert len(set(named)) == len(named)
    assert any(element.get('validations', {}).get('required') for element in form['body'])


def test_a_bug_report_has_to_say_what_the_doctor_prints():
    body = load('.github/ISSUE_TEMPLATE/bug_report.yml')['body']
    (doctor,) = (
        each for each in body if 'make doctor' in each['attributes'].get('description', '')
    )
    assert doctor['validations'] == {'required': True}


def test_the_command_for_an_installed_package_finds_its_doctor():
    form = (GITHUB / 'ISSUE_TEMPLATE' / 'bug_report.yml').read_text()
    code = re.search(r"python -c '(.+?)'", form)[1]
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment(), check=True, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()) == doctor()
    assert doctor().is_file()


@pytest.mark.parametrize('name', NAME_COMMANDS)
def test_the_commands_that_are_named_are_there(name):
    text = (REPOSITORY / name).read_text()
    targets = re.findall(r'^([\w-]+):.* ## ', (REPOSITORY / 'Makefile').read_text(), re.MULTILINE)
    named = re.findall(r'`make ([\w-]+)', text)
    assert set(named) <= set(targets)
    scripts = re.findall(r'`(?:python )?((?:tools|tests|\.ci)/[\w./]+)', text)
    assert named or scripts
    assert [each for each in scripts if not (REPOSITORY / each).is_file()] == []
