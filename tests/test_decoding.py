"""Decoding: what is done with every mode of Pillow, with EXIF, with several frames, and with files of other formats."""

import io
import struct
import sys
import types
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageCms

from zoo_core.data.decoding import PictureDecoder, channels_of, open_picture, oriented_size, read_pictures
from zoo_core.data.decoding_workers import decode as workers_decode
from zoo_core.data.deep_pixels import PixelKind, surely_full, white_of
from zoo_core.data.encoded_pictures import EncodedPicture, EncodedPictures
from zoo_core.data.picture_formats import is_readable, register_plugins
from zoo_core.errors import DataError

RAMP = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
COLOURS = np.dstack([RAMP, RAMP.T, 255 - RAMP])


class Encoded(EncodedPictures):
    """Pictures in memory."""

    name = "these"

    def __init__(self, *contents):
        self.contents = contents

    def __len__(self):
        return len(self.contents)

    def read(self, numbers):
        return [EncodedPicture(self.contents[number], None) for number in numbers]

    def files(self):
        return ()

    def selection(self):
        return ()


def encoded(pixels, format="PNG", mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, format, **options)
    return stream.getvalue()


def decode(*contents, channels=1, size=16):
    decoded = PictureDecoder(Encoded(*contents), (channels, size, size))[range(len(contents))]
    return decoded.pixels, decoded.changes


def grey(*contents):
    return decode(*contents)[0][..., 0]


def png(colour_type, pixels, depth=16, after=b""):
    """A PNG of 16 bits, which Pillow does not write, with a chunk behind the pixels."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), *([(b"eXIf", after)] if after else []), (b"IEND", b"")]
    body = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def tiff(pixels, **tags):
    return encoded(pixels, "TIFF", tiffinfo={int(name.removeprefix("tag")): value for name, value in tags.items()})


def unsigned(content):
    """A TIFF whose pixels are no longer signed: Pillow itself writes only signed ones."""
    entry = struct.Struct("<HHIHH")  # of the tag SampleFormat
    assert entry.pack(339, 3, 1, 2, 0) in content
    return content.replace(entry.pack(339, 3, 1, 2, 0), entry.pack(339, 3, 1, 1, 0))


# 8 bits, as they always were


def as_before(image, channels, size):
    """What the first version of the decoder made of a picture of 8 bits or fewer."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert(mode)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(size, size, channels)


@pytest.mark.parametrize(
    ("size", "shape", "part"),
    [
        ((48, 32), (32, 48), (0, 0, 48, 32)),
        ((96, 64), (32, 48), (0, 0, 96, 64)),
        ((100, 32), (32, 48), (26, 0, 74, 32)),
        ((48, 80), (32, 48), (0, 24, 48, 56)),
        ((31, 20), (48, 32), (9, 0, 22, 20)),
        ((3, 1), (1, 40), (0, 0, 3, 1)),
        ((40, 30), (30, 30), (5, 0, 35, 30)),
    ],
)
def test_a_picture_is_cropped_about_its_centre_to_the_aspect_ratio_and_resized(size, shape, part):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    decoded = PictureDecoder(Encoded(encoded(noise)), (3, *shape))[[0]]
    image = Image.fromarray(noise).crop(part)
    if image.size != shape[::-1]:
        image = image.resize(shape[::-1], Image.Resampling.BICUBIC)
    assert np.array_equal(decoded.pixels[0], np.asarray(image))
    assert (decoded.changes["cropped"] == 1) == (part != (0, 0, *size))
    assert (decoded.changes["resized"] == 1) == ((part[2] - part[0], part[3] - part[1]) != shape[::-1])


def test_what_is_done_to_rectangular_pictures_is_said(tmp_path):
    Image.new("L", (90, 40)).save(tmp_path / "wide.png")
    pixels, notes = read_pictures([tmp_path / "wide.png"], (1, 20, 30))
    assert pixels.shape == (1, 20, 30, 1)
    assert notes == ["1 was not 3:2 and was cropped about their centre", "1 was resized to 30 x 20 (bicubic)"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_17_pictures_of_8_bits_keep_every_pixel(mode, channels):
    noise = np.random.default_rng(0).integers(0, 256, (20, 31, 4), np.uint8)
    image = Image.fromarray(noise)
    image = image.convert("RGB").quantize(64) if mode == "P" else image.convert(mode)
    for size in (20, 12, 28):
        pixels, _ = decode(encoded(image), channels=channels, size=size)
        assert np.array_equal(pixels[0], as_before(image, channels, size))


def test_17_a_colour_that_stands_for_transparency_becomes_white():
    last = RAMP.max()
    assert (grey(encoded(RAMP, transparency=int(last)))[0][last == RAMP] == 255).all()
    key = tuple(map(int, COLOURS[3, 3]))
    pixels, changes = decode(encoded(COLOURS, transparency=key), channels=3)
    assert pixels[0, 3, 3].tolist() == [255, 255, 255]
    assert np.array_equal(pixels[0, 4], COLOURS[4])
    assert changes["converted"] == 1
    palette = Image.fromarray(COLOURS).quantize(16)
    opacity = bytes([0, 128] + [255] * 14)
    pixels, _ = decode(encoded(palette, transparency=opacity), channels=3)
    clear, half = (np.asarray(palette) == 0, np.asarray(palette) == 1)
    colour = np.array(palette.getpalette()[3:6])
    assert (pixels[0][clear] == 255).all()
    assert np.abs(pixels[0][half] - (colour + 255) / 2).max() <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "RGBX", "PA", "RGBa", "La"])
def test_17_every_other_mode_of_8_bits_is_converted_to_the_colours_that_it_means(mode):
    mild = (COLOURS // 4 + 90).astype(np.uint8)  # inside the gamut of them all
    image = Image.fromarray(mild)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    elif mode == "PA":
        image = image.quantize(256).convert("PA")
    elif mode in ("RGBa", "La"):
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[mode]).convert(mode)
    else:
        image = image.convert(mode)
    image.format = None
    decoder = PictureDecoder(Encoded(b""), (3, 16, 16))
    pixels = decoder.pixels_of(image, Counter())
    expected = Image.fromarray(mild).convert("L").convert("RGB") if mode == "La" else mild
    assert np.abs(pixels.astype(int) - np.asarray(expected)).max() <= (8 if mode == "PA" else 4)


def test_17_a_cmyk_jpeg_of_adobe_is_not_inverted():
    smooth = Image.fromarray(COLOURS).convert("CMYK")
    content = encoded(smooth, "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in content
    assert np.abs(decode(content, channels=3)[0][0].astype(int) - COLOURS).max() <= 3


# more than 8 bits


WIDE = RAMP.astype(np.uint16) * 257


@pytest.mark.parametrize(
    "content",
    [
        png(0, WIDE),
        tiff(WIDE),
        encoded(Image.frombytes("I;16B", (16, 16), WIDE.astype(">u2").tobytes()), "TIFF"),
        encoded(Image.fromarray(WIDE), "TIFF", compression="tiff_lzw"),
        b"P5 16 16 65535\n" + WIDE.astype(">u2").tobytes(),
        encoded(WIDE.astype(np.int32), "TIFF"),
        encoded(WIDE.astype(np.float32), "TIFF"),
        encoded(RAMP.astype(np.int32), "TIFF"),
        encoded(RAMP.astype(np.float32), "TIFF"),
        encoded((RAMP / 255).astype(np.float32), "TIFF"),
        encoded(RAMP.astype(np.uint32).view(np.int32) << 23, "TIFF"),
        unsigned(tiff((RAMP.astype(np.int64) << 24).astype(np.uint32).view(np.int32))),
        tiff(65535 - WIDE, tag262=0),  # white is zero
        b"Pf\n16 16\n-1.0\n" + (RAMP / 255).astype("<f4").tobytes(),
    ],
)
def test_17_pictures_of_16_and_32_bits_and_of_floats_keep_their_brightness(content):
    pixels, changes = decode(content)
    assert np.abs(pixels[0, ..., 0].astype(int) - RAMP).max() <= 1
    assert sum(changes.values()) == 1


def test_17_twelve_bits_in_sixteen_are_not_black_and_a_dark_picture_stays_dark_among_them():
    bright, dark = tiff(WIDE // 16), tiff(WIDE // 160)
    decoded = PictureDecoder(Encoded(dark, bright), (1, 16, 16))
    (pixels, changes), alone = decoded[[0]], decode(dark)[0]
    assert np.abs(pixels[0, ..., 0].astype(int) - RAMP // 10).max() <= 1
    assert alone.max() == 4 * pixels.max()
    assert changes == {"scaled INTEGER:4095": 1}
    assert np.abs(decoded[[1]].pixels[0, ..., 0].astype(int) - RAMP).max() <= 1


def test_17_all_pictures_of_a_set_have_one_white_and_it_is_said(tmp_path):
    paths = [tmp_path / f"{number}.tif" for number in range(3)]
    for path, brightest in zip(paths, (20.0, 200.0, 0.0), strict=True):
        path.write_bytes(encoded((RAMP / 240 * brightest).astype(np.float32), "TIFF"))
    pixels, notes = read_pictures(paths, (1, 16, 16))
    assert [picture.max() for picture in pixels] == [20, 200, 0]
    assert notes == ["3 have floating-point pixels and were scaled to 8 bits: 0 became black and 255 white"]


def test_17_a_tiff_that_states_12_bits_is_believed():
    packed = bytearray()
    for first, second in (RAMP.astype(int) // 16).reshape(-1, 2):  # every pixel is dark
        packed += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    tags = {256: 16, 257: 16, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: len(packed)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    offset = 8 + len(packed)
    content = b"II*\0" + struct.pack("<I", offset) + packed + struct.pack("<H", len(tags)) + directory + bytes(4)
    pixels, changes = decode(content)
    assert pixels.max() == 1
    assert changes == {"scaled INTEGER:4095": 1}


def test_17_the_transparent_value_of_16_bits_becomes_white():
    content = png(0, WIDE)
    at = content.index(b"IDAT") - 4
    data = struct.pack(">H", int(WIDE[0, 2]))
    chunk = struct.pack(">I", 2) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))
    transparent = content[:at] + chunk + content[at:]
    pixels = grey(transparent)[0]
    assert (pixels[:, 2] == 255).all()
    assert np.array_equal(pixels[:, 3:], RAMP[:, 3:])


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.where(RAMP == 32, np.nan, RAMP / 255).astype(np.float32), "not finite"),
        (np.where(RAMP == 32, np.inf, RAMP / 255).astype(np.float32), "not finite"),
        ((RAMP / 127.5 - 1).astype(np.float32), "begin at -1, below black"),
        (RAMP.astype(np.int32) - 1000, "begin at -1000, below black"),
        ((RAMP / 100).astype(np.float32), "largest of these floating-point pixels is 2.4"),
        ((RAMP * 1e6).astype(np.float32), r"is 2.4e\+08"),
    ],
)
def test_17_values_that_nobody_can_place_are_refused_with_what_to_do(pixels, reason):
    with pytest.raises(DataError, match=f"these, row 1: the picture cannot be decoded: .*{reason}"):
        PictureDecoder(Encoded(encoded(RAMP), encoded(pixels, "TIFF")), (1, 16, 16))[[1]]


def test_17_a_damaged_picture_among_deep_ones_is_named_in_its_own_turn():
    decoder = PictureDecoder(Encoded(png(0, WIDE // 16), b"no picture", png(0, WIDE)), (1, 16, 16))
    assert decoder[[0]].pixels.max() == RAMP.max() // 16
    with pytest.raises(DataError, match="row 1"):
        decoder[[1]]


def test_17_colours_of_16_bits_are_read_by_their_upper_half_and_refused_where_that_is_empty():
    wide = COLOURS.astype(np.uint16) * 257
    pixels, changes = decode(png(2, wide), channels=3)
    assert np.array_equal(pixels[0], COLOURS)
    assert changes == {"scaled COLOUR:255": 1}
    opaque = np.dstack([wide // 16, np.full((16, 16), 65535)])
    for content in (png(2, wide // 16), png(6, opaque), png(4, opaque[..., 2:])):
        with pytest.raises(DataError, match="no more than the lower 14 bits"):
            decode(content, channels=3)


def test_17_the_search_for_white_ends_where_no_pixel_can_change_it():
    read = []

    class Counted(Encoded):
        def read(self, numbers):
            read.append(list(numbers))
            return super().read(numbers)

    decoder = PictureDecoder(Counted(*[png(0, WIDE)] * 3), (1, 1000, 1000))  # in blocks of one picture
    decoder[[2]]
    assert read == [[2], [0]]
    assert not surely_full(PixelKind.FLOAT, 1.0)


def test_17_floats_of_0_to_1_among_wider_ones_are_refused_and_dark_integers_are_counted(tmp_path):
    unit, wide = (encoded((RAMP / 240 * top).astype(np.float32), "TIFF") for top in (1.0, 240.0))
    decoder = PictureDecoder(Encoded(unit, wide), (1, 16, 16))
    assert decoder[[1]].pixels.max() == 240
    with pytest.raises(
        DataError, match=r"row 0: .* its pixels end at 1, and those of other .* at up to 255; scale all"
    ):
        decoder[[0]]
    paths = [tmp_path / "dark.png", tmp_path / "bright.png"]
    for path, pixels in zip(paths, (WIDE // 1000, WIDE), strict=True):
        path.write_bytes(png(0, pixels))
    _, notes = read_pictures(paths, (1, 16, 16))
    assert notes[1] == "1 became black altogether, since their pixels are small beside what is white"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server on Linux alone")
def test_17_workers_find_the_white_that_one_process_finds():
    contents = [tiff(WIDE // (16 * (1 + number % 5))) for number in range(40)]
    decoder, order = PictureDecoder(Encoded(*contents), (1, 16, 16)), [range(20), range(20, 40)]
    alone, shared = (list(workers_decode(decoder, order, workers)) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.changes == other.changes == {"scaled INTEGER:4095": 20}


@pytest.mark.parametrize(
    ("kind", "largest", "white"),
    [
        (PixelKind.INTEGER, 0, 255),
        (PixelKind.INTEGER, 255, 255),
        (PixelKind.INTEGER, 256, 1023),
        (PixelKind.INTEGER, 16_383, 16_383),
        (PixelKind.INTEGER, 16_384, 65_535),
        (PixelKind.LONG_INTEGER, 240_000, 2**18 - 1),
        (PixelKind.LONG_INTEGER, 2**32 - 1, 2**32 - 1),
        (PixelKind.FLOAT, 0, 1),
        (PixelKind.FLOAT, 1.05, 1),
        (PixelKind.FLOAT, 254.5, 255),
        (PixelKind.FLOAT, 4095, 4095),
    ],
)
def test_17_white_is_the_end_of_the_smallest_usual_range(kind, largest, white):
    assert white_of(kind, largest) == white


# which way is up


def with_orientation(orientation, format, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("L", (24, 16))
    image.paste(255, (0, 0, 12, 8))  # the upper left quarter
    return encoded(image, format, exif=exif, **options)


# The quarter of the picture that is white once it is upright, as (row, column).
CORNERS = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "corner"), CORNERS.items())
def test_17_pictures_are_turned_upright_before_they_are_cropped(format, orientation, corner):
    content = with_orientation(orientation, format, **({"lossless": True} if format == "WEBP" else {}))
    pixels, changes = decode(content)
    middles = pixels[0, ..., 0][4::8, 4::8] > 127
    assert [tuple(place) for place in np.argwhere(middles)] == [corner]
    assert changes["turned"] == (orientation != 1)
    with Image.open(io.BytesIO(content)) as image:
        assert oriented_size(image) == ((16, 24) if orientation > 4 else (24, 16))


def test_17_exif_behind_the_pixels_of_a_png_counts_and_damaged_exif_does_not():
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = np.zeros((16, 16), np.uint8)
    pixels[0, 0] = 255
    turned, changes = decode(png(0, pixels, depth=8, after=exif.tobytes()[6:]))
    assert (turned[0, -1, -1, 0], changes["turned"]) == (255, 1)
    for wrong in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"II", b"\0" * 40):
        same, changes = decode(encoded(pixels, exif=wrong))
        assert (same[0, 0, 0, 0], changes["turned"]) == (255, 0)
    for orientation in (0, 9, 77):
        assert decode(with_orientation(orientation, "PNG"))[1]["turned"] == 0


def test_17_the_header_alone_says_how_large_an_upright_picture_is():
    content = with_orientation(6, "JPEG")
    with Image.open(io.BytesIO(content[: content.index(b"\xff\xda") + 20])) as image:  # its pixels are not all there
        assert oriented_size(image) == (16, 24)


def test_17_a_very_large_picture_and_one_with_strange_metadata_are_read_without_a_warning(recwarn):
    """Warnings are errors in the tests: one of Pillow's would be reported as damage."""
    assert not decode(encoded(np.zeros((10_000, 9_000), bool)))[0].any()
    decode(encoded(RAMP, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"))
    assert not recwarn.list


# several frames


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_17_the_first_frame_of_several_is_used_and_that_is_said(format, tmp_path):
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    options = {"lossless": True} if format == "WEBP" else {}
    path = tmp_path / f"a.{format.lower()}"
    path.write_bytes(encoded(first, format, save_all=True, append_images=[second], **options))
    pixels, notes = read_pictures([path], (3, 16, 16))
    assert np.abs(pixels[0].astype(int) - COLOURS).max() <= 1
    assert notes[0] == "1 has several frames or pages, of which the first was used"


def test_17_a_photo_with_a_second_view_is_one_picture():
    photo = encoded(COLOURS, "MPO", save_all=True, append_images=[Image.fromarray(COLOURS)])
    assert is_readable("a.mpo")
    assert not decode(photo, channels=3)[1]


def test_17_a_damaged_second_frame_does_not_matter():
    animation = encoded(RAMP, "GIF", save_all=True, append_images=[Image.fromarray(255 - RAMP)])
    pixels, changes = decode(animation[: len(animation) * 2 // 3])
    assert np.array_equal(pixels[0, ..., 0], RAMP)
    assert changes["first frame"] == 1


# what is no picture, or one of another library


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEIC, "it is a picture in HEIC: pip install pillow-heif"),
        (HEIC.replace(b"ftypheic", b"ftypmif1"), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL: pip install pillow-jxl-plugin"),
        (b"\xff\x0a" + bytes(range(20)), "JPEG XL"),
        (bytes(500), "nothing but zeros"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is text"),
        (b"II*\0" + bytes(20), "a TIFF of a kind that Pillow does not read"),
        (b"what is this?", "it is no picture, or in a format"),
    ],
)
def test_what_cannot_be_opened_says_what_it_is_and_what_to_do(content, reason, tmp_path, monkeypatch):
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)  # as if they were not installed
    register_plugins.cache_clear()
    path = tmp_path / "folder" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as refused:
        read_pictures([path], (1, 16, 16))
    assert str(refused.value).startswith(f"{path}: the picture cannot be decoded: ")
    assert "--skip-damaged" not in str(refused.value)
    with pytest.raises(DataError, match=f"set, row 7: .*{reason}"):
        open_picture(EncodedPicture(content, None), "set, row 7")


def test_a_file_that_is_missing_empty_or_a_folder_is_named(tmp_path):
    (tmp_path / "empty.png").touch()
    for name, reason in {"no.png": "No such file", ".": "Is a directory|Permission", "empty.png": "empty"}.items():
        with pytest.raises(DataError, match=reason):
            read_pictures([tmp_path / name], (1, 16, 16))


def test_a_package_that_reads_heic_is_registered_when_a_picture_needs_it(tmp_path, monkeypatch):
    """Stands in for pillow-heif by its documented name; what it registers opens a picture of Pillow's own."""
    calls = []

    def register():
        calls.append(1)
        monkeypatch.setattr(Image, "open", lambda source: opened(io.BytesIO(encoded(RAMP))))

    opened = Image.open
    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    register_plugins.cache_clear()
    path = tmp_path / "a.heic"
    path.write_bytes(HEIC)
    pixels, _ = read_pictures([path], (1, 16, 16))
    assert np.array_equal(pixels[0, ..., 0], RAMP)
    assert calls == [1]


@pytest.mark.parametrize(("mode", "channels"), [("I;16B", 1), ("I;16", 1), ("La", 1), ("I", 1), ("CMYK", 3), ("PA", 3)])
def test_grey_modes_are_known_as_grey(mode, channels):
    assert channels_of(Image.new(mode, (2, 2))) == channels
