"""MkDocs hook: the site has the folders of the repository, so that the same links work in both.

MkDocs takes pages from one folder. These pages link to each other, to the README files beside the
configs and to pictures of the benchmarks, by paths that have to work where the repository is
browsed, too.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PUBLISHED = (
    'README.md',
    'CHANGELOG.md',
    'CITATION.cff',
    'CONTRIBUTING.md',
    'LICENSE',
    'docs/**/*.md',
    'docs/images/*',
    'docs/notebooks/*.ipynb',
    'docs/style.css',
    'configs/**/*.md',
    'configs/**/*.py',
    'studies/configs/*',
    'benchmarks/*.md',
    'benchmarks/results/*',
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of ``docs_dir`` by those of the repository that are published."""
    root = Path(config.config_file_path).parent
    theme = [file for file in files if file.src_dir != config.docs_dir]
    names = {
        path.relative_to(root).as_posix()
        for pattern in PUBLISHED
        for path in root.glob(pattern)
        if path.is_file()
    }
    published = [
        File(name, str(root), config.site_dir, config.use_directory_urls) for name in sorted(names)
    ]
    return Files([*theme, *published])
