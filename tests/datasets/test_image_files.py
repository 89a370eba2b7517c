"""Headers and ends of picture files, against what MMDetection's loader makes of them."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from ghm_mmdet.datasets.image_files import read_header, size_fault
from tools.check_data import is_cut_off, is_decodable

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def photo(picture, tmp_path):
    """A JPEG with an orientation and, as cameras write it, a preview in its header."""

    def write(orientation=None, preview=False, ending='jpg'):
        path = tmp_path / f'photo.{ending}'
        exif = Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        picture.save(path, exif=exif.tobytes())
        if preview:
            small = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
            comment = b'\xff\xfe' + (len(small) + 2).to_bytes(2, 'big') + small
            data = path.read_bytes()
            path.write_bytes(data[:2] + comment + data[2:])
        return path

    return write


@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'bmp'])
@pytest.mark.parametrize('orientation', [None, 1, 3, 6, 8])
def test_the_size_is_that_of_the_loaded_picture(photo, orientation, ending):
    path = photo(orientation, ending=ending)
    height, width = LoadImageFromFile()(dict(img_path=str(path)))['img'].shape[:2]
    header = read_header(str(path))
    assert header.shown == (width, height)
    assert size_fault(header, (width, height)) is None
    stored = size_fault(header, (WIDTH, HEIGHT))
    assert (stored is not None) == ((width, height) != (WIDTH, HEIGHT))
    assert stored is None or f'EXIF orientation {orientation} turns it' in stored


def test_another_size(photo):
    fault = size_fault(read_header(str(photo())), (32, 24))
    assert fault.startswith('is 64 x 48 pixels, the annotation file says 32 x 24; ')


@pytest.mark.parametrize('content', [b'', b'hello', b'\x89PNG\r\n\x1a\n'])
def test_no_picture_has_no_header(tmp_path, content):
    path = tmp_path / 'no.png'
    path.write_bytes(content)
    assert read_header(str(path)) is None
    assert not is_decodable(str(path))


@pytest.mark.parametrize('preview', [False, True])
@pytest.mark.parametrize('missing', [1, 200, 1500])
def test_jpeg_that_is_cut_off(photo, preview, missing):
    path = photo(preview=preview)
    assert not is_cut_off(str(path))
    path.write_bytes(path.read_bytes()[:-missing])
    assert is_cut_off(str(path))


@pytest.mark.parametrize('after', [b'\0' * 10, b'appended' * 20_000])
@pytest.mark.parametrize('ending', ['jpg', 'png'])
def test_what_follows_the_end_does_not_matter(picture, tmp_path, ending, after):
    path = tmp_path / f'picture.{ending}'
    picture.save(path)
    path.write_bytes(path.read_bytes() + after)
    assert not is_cut_off(str(path))
    assert is_decodable(str(path))


@pytest.mark.parametrize('missing', [12, 1000])
def test_png_that_is_cut_off(picture, tmp_path, missing):
    path = tmp_path / 'picture.png'
    picture.save(path)
    path.write_bytes(path.read_bytes()[:-missing])
    assert is_cut_off(str(path))
