"""Pictures are looked at as viewers show them; what cannot be read is refused before anything runs, in words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.header.picture_header import turning_matrix
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from MultiTaskSegLib.runtime.image.image_file import MAX_NIFTI_SIDE, read_image

Damage = Callable[[bytes], bytes]
SHOWN = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)  # the picture that a viewer shows
# By Exif orientation, how it is stored (CIPA DC-008, figure of tag 0x0112: where row 0 and column 0 lie).
STORED = {
    1: SHOWN,
    2: SHOWN[:, ::-1],
    3: SHOWN[::-1, ::-1],
    4: SHOWN[::-1],
    5: SHOWN.T,
    6: SHOWN[:, ::-1].T,
    7: SHOWN[::-1, ::-1].T,
    8: SHOWN[::-1].T,
}


def exif(orientation: int, order: str) -> bytes:
    """A TIFF structure with one more tag before the orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x010F, 2, 2, 0), (0x0112, 3, 1, orientation)]
    packed = b"".join(struct.pack(order + "HHIHH", tag, kind, count, value, 0) for tag, kind, count, value in entries)
    return mark + struct.pack(order + "IH", 8, len(entries)) + packed + bytes(4)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    pixels: np.ndarray, kind: int, before: bytes = b"", after: bytes = b"", depth: int = 8, columns: int = 0
) -> bytes:
    """A PNG file by its definition: rows of bytes, each with filter 0 before it."""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">2I5B", columns or pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    content = chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(rows)) + after + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def shown(path: Path) -> np.ndarray:
    """What the network looks at: the array in the order of a viewer."""
    volume = read_image(path)
    return np.asarray(canonical_reorientation(volume).apply(volume.voxels))[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_png_is_looked_at_as_its_exif_orientation_says(tmp_path: Path, orientation: int, order: str) -> None:
    for place in ("before", "after"):
        stored = np.ascontiguousarray(STORED[orientation])
        (tmp_path / "a.png").write_bytes(png(stored, 0, **{place: chunk(b"eXIf", exif(orientation, order))}))
        volume = read_image(tmp_path / "a.png")
        np.testing.assert_array_equal(volume.voxels[0], stored)  # results lie on the pixels as they are stored
        np.testing.assert_array_equal(shown(tmp_path / "a.png"), SHOWN)
        assert len(volume.warnings) == (orientation != 1)
        assert orientation == 1 or f"EXIF orientation {orientation}" in volume.warnings[0]


@pytest.mark.parametrize("orientation", STORED)
def test_a_jpeg_is_looked_at_as_its_exif_orientation_says(tmp_path: Path, orientation: int) -> None:
    sitk.WriteImage(
        sitk.GetImageFromArray(np.kron(STORED[orientation], np.ones((8, 8), np.uint8))), str(tmp_path / "a.jpg")
    )
    data = (tmp_path / "a.jpg").read_bytes()
    segment = b"Exif\0\0" + exif(orientation, ">")
    other = b"\xff\xe1" + struct.pack(">H", 9) + b"http://"
    (tmp_path / "a.jpg").write_bytes(
        data[:2] + other + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    )
    assert np.abs(shown(tmp_path / "a.jpg") - np.kron(SHOWN, np.ones((8, 8)))).max() <= 4


@pytest.mark.parametrize("orientation", STORED)
def test_every_pixel_of_the_shown_picture_comes_from_its_stored_place(orientation: int) -> None:
    stored = STORED[orientation]
    matrix = turning_matrix(orientation, stored.shape[1], stored.shape[0])
    for row, column in np.ndindex(*stored.shape):
        x, y, _, _ = (matrix @ [column, row, 0, 1]).astype(int)
        assert SHOWN[y, x] == stored[row, column]


@pytest.mark.parametrize("orientation", STORED)
def test_the_grid_of_a_turned_picture_has_every_pixel_where_it_is_shown(tmp_path: Path, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation])
    (tmp_path / "a.png").write_bytes(png(stored, 0, before=chunk(b"eXIf", exif(orientation, "<"))))
    grid = read_image(tmp_path / "a.png").ijk_to_lps
    for row, column in np.ndindex(*stored.shape):
        y, x = np.argwhere(stored[row, column] == SHOWN)[0]
        np.testing.assert_array_equal(grid @ [column, row, 0, 1], [x, y, 0, 1])


@pytest.mark.parametrize(
    "damage", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", exif(6, "<")[:20], exif(9, "<")]
)
def test_a_damaged_exif_orientation_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png(SHOWN, 0, before=chunk(b"eXIf", damage)))
    volume = read_image(tmp_path / "a.png")
    assert not any("EXIF" in warning for warning in volume.warnings)  # libpng may have a word of its own
    np.testing.assert_array_equal(volume.ijk_to_lps, np.eye(4))


def grey_png(shown: np.ndarray, alpha: np.ndarray, depth: int) -> bytes:
    """Grey and alpha of 8 or 16 bits each, as PNG stores them."""
    pixels = np.stack([shown, alpha], -1).astype(">u2" if depth == 16 else "u1")
    return png(pixels, 4, depth=depth)


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_with_opaque_alpha_is_the_same_picture_without_and_is_refused_where_it_is_transparent(
    tmp_path: Path, depth: int
) -> None:
    most = 2**depth - 1
    shown = SHOWN.astype(np.int64) * (most // 255) + most // 300
    (tmp_path / "grey.png").write_bytes(png(shown.astype(">u2" if depth == 16 else "u1"), 0, depth=depth))
    (tmp_path / "alpha.png").write_bytes(grey_png(shown, np.full_like(shown, most), depth))
    wanted, found = read_image(tmp_path / "grey.png"), read_image(tmp_path / "alpha.png")
    np.testing.assert_array_equal(found.voxels, wanted.voxels)
    np.testing.assert_array_equal(found.voxels[0], shown)
    assert found.warnings == wanted.warnings == ()
    alpha = np.full_like(shown, most)
    alpha[3, 4] -= 1
    (tmp_path / "alpha.png").write_bytes(grey_png(shown, alpha, depth))
    with pytest.raises(InputError, match="partly transparent") as refused:
        read_image(tmp_path / "alpha.png")
    assert refused.value.file == str(tmp_path / "alpha.png")


@pytest.mark.parametrize(("value", "is_read"), [(53, False), (54, True), (256 + 53, True)])
def test_a_transparent_grey_value_matters_only_where_a_pixel_has_it(tmp_path: Path, value: int, is_read: bool) -> None:
    (tmp_path / "a.png").write_bytes(png(SHOWN, 0, before=chunk(b"tRNS", struct.pack(">H", value))))
    if is_read:
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").voxels[0], SHOWN)
    else:
        with pytest.raises(InputError, match="partly transparent"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize("shade", [0, 1, 2, 3])
def test_a_transparent_shade_of_two_bits_is_known_as_well(tmp_path: Path, shade: int) -> None:
    packed = np.array([[0b00011000], [0b01000001], [0b00000110]], np.uint8)  # 4 shades to a byte; 3 occurs nowhere
    content = png(packed, 0, before=chunk(b"tRNS", struct.pack(">H", shade)), depth=2, columns=4)
    (tmp_path / "a.png").write_bytes(content)
    if shade == 3:
        assert set(np.unique(read_image(tmp_path / "a.png").voxels)) == {0, 85, 170}
    else:
        with pytest.raises(InputError, match="partly transparent"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: data[:60], lambda data: data[:30]])
def test_a_cut_grey_picture_with_alpha_is_refused_by_its_own_name(tmp_path: Path, damage: Damage) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50))
    (tmp_path / "a.png").write_bytes(damage(grey_png(noise, np.full_like(noise, 255), 8)))
    with pytest.raises(InputError) as refused:
        read_image(tmp_path / "a.png")
    assert refused.value.file == str(tmp_path / "a.png")
    assert "picture.png" not in str(refused.value)


def test_opaque_colours_that_are_grey_are_read_and_others_refused(tmp_path: Path) -> None:
    opaque = np.stack([SHOWN, SHOWN, SHOWN, np.full_like(SHOWN, 255)], -1)
    (tmp_path / "a.png").write_bytes(png(opaque, 6))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").voxels[0], SHOWN)
    opaque[2, 3, 3] = 254
    (tmp_path / "a.png").write_bytes(png(opaque, 6))
    with pytest.raises(InputError, match="partly transparent"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("begin", "name", "says"),
    [
        (b"\x89PNG\r\n\x1a\n", "a.jpg", "is a PNG picture.*Rename it to a.png"),
        (b"\xff\xd8\xff\xe0", "a.png", "is a JPG picture.*Rename it to a.jpg"),
        (b"II*\0", "a.png", "is a TIF picture.*Save it as PNG"),
        (b"GIF89a", "a.jpeg", "is a GIF picture"),
        (b"BM", "a.png", "is a BMP picture"),
        (b"something", "a.png", "cannot be read|holds no pixels"),
    ],
)
def test_a_picture_under_the_name_of_another_kind_is_called_what_it_is(
    tmp_path: Path, begin: bytes, name: str, says: str
) -> None:
    (tmp_path / name).write_bytes(begin + bytes(300))
    with pytest.raises(InputError, match=says):
        read_image(tmp_path / name)


@pytest.mark.parametrize(("columns", "is_read"), [(MAX_NIFTI_SIDE, True), (MAX_NIFTI_SIDE + 1, False)])
def test_a_picture_too_wide_for_its_result_is_refused_when_it_is_read(
    tmp_path: Path, columns: int, is_read: bool
) -> None:
    (tmp_path / "a.png").write_bytes(png(np.tile(np.arange(columns, dtype=np.uint8), (2, 1)), 0))
    if is_read:
        assert read_image(tmp_path / "a.png").shape == (1, 2, columns)
    else:
        with pytest.raises(InputError, match="at most 32767 along an axis"):
            read_image(tmp_path / "a.png")
