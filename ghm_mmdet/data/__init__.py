"""Data sets: a sample to try things on."""

from ghm_mmdet.data.sample import SampleSettings, SampleSummary, make_sample_dataset

__all__ = ['SampleSettings', 'SampleSummary', 'make_sample_dataset']
