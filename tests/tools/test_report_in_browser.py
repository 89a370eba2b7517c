"""The report as a browser shows it: every picture decodes, nothing is fetched, nothing fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tools.analyze_gradients import main

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
OFFLINE = (
    *('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'),
    *('--disable-background-networking', '--disable-component-update', '--disable-sync'),
)
COUNT = """<script>
window.addEventListener('load', () => {
  const pictures = [...document.images];
  const resources = performance.getEntriesByType('resource');
  document.title = JSON.stringify({
    pictures: pictures.length,
    decoded: pictures.filter(each => each.naturalWidth > 0).length,
    fetched: resources.filter(each => !each.name.startsWith('data:')).length,
    wide: document.documentElement.scrollWidth > window.innerWidth,
  });
});
</script>"""


@pytest.fixture
def shown(tmp_path):
    """Opens a page in a headless browser; what it has counted, and what the browser says."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f'needs a browser: one of {", ".join(BROWSERS)}')

    def show(page):
        counted = tmp_path / 'counted.html'
        counted.write_text(page.read_text('utf-8').replace('</body>', f'{COUNT}</body>'), 'utf-8')
        profile = f'--user-data-dir={tmp_path / "profile"}'
        log = ('--enable-logging=stderr', '--window-size=1280,900', '--dump-dom')
        done = subprocess.run(
            [browser, *OFFLINE, profile, *log, counted.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        title = re.search('<title>(.*?)</title>', done.stdout)[1]
        return json.loads(title), re.findall('.*CONSOLE.*', done.stderr)

    return show


def test_every_picture_is_shown_and_nothing_is_fetched(small_config, checkpoint, tmp_path, shown):
    out = tmp_path / 'report'
    main([str(small_config), str(checkpoint(small_config)), '--out', str(out), '--per-class'])
    counted, complaints = shown(out / 'report.html')
    figures = len(list(out.glob('*.svg')))
    labels = json.loads((out / 'worst_labels.json').read_text())['annotations']
    assert complaints == []
    assert counted['pictures'] >= figures + len(labels) > 8
    assert counted['decoded'] == counted['pictures']
    assert counted['fetched'] == 0
    assert not counted['wide']
