"""Rows survive their file; another file is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.table import Row, print_rows, read_csv, write_csv

ROW = Row(
    device='A GPU, 80 GB',
    device_type='cuda',
    torch='2.13.0',
    backend='triton',
    operation='GHM-C',
    input='1,000 anchors x 80 classes',
    dtype='float32',
    examples=80_000,
    contestant='mmdet GHMC',
    bins=30,
    milliseconds=1.25,
    ratio=2.5,
    spread=0.125,
    runs=9,
    memory=1.5,
    peak_mib=0.5,
)
EMPTY = replace(
    ROW, examples=None, bins=None, ratio=None, spread=None, runs=None, memory=None, peak_mib=None
)


def test_rows_survive_their_file(tmp_path):
    path = write_csv([ROW, EMPTY], tmp_path / 'new')
    assert path.name == 'ghm-c-a-gpu-80-gb.csv'
    assert read_csv(path) == [ROW, EMPTY]


def test_a_file_with_other_columns_is_refused(tmp_path):
    path = tmp_path / 'other.csv'
    path.write_text('device,milliseconds\nGPU,1\n')
    with pytest.raises(ValueError, match=r'other\.csv: its columns'):
        read_csv(path)


def test_what_was_not_measured_is_a_dash(capsys):
    print_rows([ROW, EMPTY])
    full, empty = capsys.readouterr().out.splitlines()[-2:]
    assert full.split()[2:] == ['30', '1.250', '2.500', '12.5%', '9', '1.50', '0']
    assert empty.split()[2:] == ['-', '1.250', '-', '-', '-', '-', '-']
