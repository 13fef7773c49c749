"""Sounds: what is read, written and shown, against soundfile, Python's wave and closed forms."""

from __future__ import annotations

import io
import struct
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo_core import Generator, ModelConfig, TrainingData
from zoo_core.data import sound_files
from zoo_core.data.wave_files import read_wave_header
from zoo_core.errors import DataError, InterfaceError, MissingExtraError, OutputError, SamplingError
from zoo_core.kinds import recordings, spectrogram
from zoo_core.kinds.by_name import kind_named
from zoo_core.metrics.neighbours import nearest

sf = pytest.importorskip("soundfile")
DIGITS = Path(__file__).parent / "data" / "spoken_digits"
AUDIO = kind_named("audio")


class Voice(Generator):
    """Its sounds are what it is given."""

    kind = "audio"
    latent_shape = (4,)

    def __init__(self, shape=(1, 64), rate=16000):
        super().__init__()
        self.sample_shape = shape
        if rate is not None:
            self.sample_rate = rate

    def forward(self, z, labels=None):
        return z[:, :1, None].expand(-1, *self.sample_shape)


def tone(length=64, channels=1, n=1, seed=0):
    """Sounds that 16 bits hold exactly."""
    values = np.random.default_rng(seed).integers(-32768, 32768, (n, channels, length))
    return torch.from_numpy((values / 32768).astype(np.float32))


def as_file(sound, rate=16000, form="WAV", subtype="PCM_16"):
    stream = io.BytesIO()
    sf.write(stream, np.asarray(sound).T, rate, format=form, subtype=subtype)
    return stream.getvalue()


def make(folder, **files):
    """Write files; `cat__1_wav` is cat/1.wav."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(source, shape=None, **how):
    opened = AUDIO.open(source, **how)
    return opened.decode(shape or opened.sample_shape)


# Reading


def test_a_data_set_of_the_hub_is_read_with_its_rate_and_classes():
    source = AUDIO.open(DIGITS, split="test")
    data = source.decode(source.sample_shape)
    assert source.sample_shape == (1, 8192)
    assert source.values == data.values == {"sample_rate": 16000, "channels": 1, "length": 8192}
    assert source.notes[0].startswith(
        "10 sounds in 10 classes (zero, one, two, three, four, five, six, seven, …) from "
    )
    assert data.class_names[:2] == ("zero", "one")
    assert (data.samples.dtype, sorted(data.labels.tolist())) == (torch.float32, list(range(10)))
    assert data.notes == ("10 mono sounds of 8,192 samples (0.512 s) at 16,000 Hz",)
    assert data.samples.abs().amax((1, 2)).tolist() == pytest.approx([0.9] * 10, abs=1e-3)
    assert source.plan((1, 8192)).startswith(
        "10 sounds of 1 x 8,192 samples (audio column 'audio', label column 'label') take 327.7 kB of memory; "
    )


@pytest.mark.parametrize(
    ("subtype", "off"),
    [("PCM_U8", 1 / 128), ("PCM_16", 0), ("PCM_24", 0), ("PCM_32", 0), ("FLOAT", 0), ("DOUBLE", 0), ("ULAW", 0.03)],
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_wav_of_every_depth_is_read_as_libsndfile_reads_it(tmp_path, form, subtype, off):
    sound = tone(channels=2)
    content = as_file(sound[0], form=form, subtype=subtype)
    data = read(make(tmp_path / "x", a_wav=content))
    theirs, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    assert np.array_equal(data.samples[0].numpy(), theirs.T)
    assert (data.samples - sound).abs().max() <= off


@pytest.mark.parametrize(("form", "suffix"), [("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mp3"), ("AIFF", "aiff")])
def test_other_formats_are_read_by_libsndfile(tmp_path, form, suffix):
    sound = torch.sin(torch.arange(4096) / 20)[None] * 0.5
    content = as_file(sound, form=form, subtype=None)
    data = read(make(tmp_path / "x", **{f"a_{suffix}": content}))
    assert data.samples.shape == (1, 1, 4096)
    assert (data.samples[0, 0, 500:3500] - sound[0, 500:3500]).abs().max() < 0.05


def test_wav_needs_no_library_and_other_formats_name_the_extra(tmp_path, monkeypatch):
    folder = make(tmp_path / "x", a_wav=as_file(tone()[0]))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert torch.equal(read(folder).samples, tone())
    AUDIO.write([tone()], 1, Voice(), tmp_path / "x.wav")
    with pytest.raises(
        MissingExtraError, match=r"^resampling from 16,000 to 8,000 Hz needs the extra 'audio': pip inst"
    ):
        read(folder, values={"sample_rate": 8000})
    (folder / "b.flac").write_bytes(b"fLaC")
    with pytest.raises(MissingExtraError, match=r"^decoding x/b\.flac needs the extra 'audio'"):
        AUDIO.open(folder)
    with pytest.raises(MissingExtraError, match=r"^writing \.flac needs the extra 'audio'"):
        AUDIO.write([tone()], 1, Voice(), tmp_path / "x.flac")


@pytest.mark.parametrize("packed", [False, True])
def test_folders_and_archives_follow_the_rules_of_pictures(tmp_path, packed):
    one, two = as_file(tone(seed=1)[0]), as_file(tone(seed=2)[0])
    files = {
        "train__dog__1_wav": one,
        "train__cat__1_flac": as_file(tone(seed=2)[0], form="FLAC"),
        "test__dog__1_wav": two,
    }
    folder = make(tmp_path / "pets", **files, train__cat__notes_txt=b"", train__cat__2_m4a=b"", train__loose_wav=one)
    if packed:
        with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
            for path in folder.rglob("*.*"):
                archive.write(path, path.relative_to(folder).as_posix())
    source = AUDIO.open(tmp_path / "pets.zip" if packed else folder)
    data = source.decode(source.sample_shape)
    assert (data.class_names, data.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert torch.equal(data.samples, torch.cat([tone(seed=2), tone(seed=1)]))
    assert source.notes[1:] == (
        "1 sound in a format that is not read here, left out: 1 .m4a (convert them to FLAC)",
        "1 file is no sound and is not used: 1 .txt",
        "1 sound left out: train/loose.wav lies beside the folders of the classes, and in none",
    )
    test = AUDIO.open(tmp_path / "pets.zip" if packed else folder, split="test")
    assert test.decode((1, 64)).labels.tolist() == [1]


def test_all_sounds_get_one_rate_one_length_and_one_number_of_channels(tmp_path):
    seconds = np.arange(16000) / 16000
    sine = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    slow = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / 8000)
    folder = make(
        tmp_path / "x",
        a_wav=as_file(sine[None, :4000]),
        b_wav=as_file(np.stack([sine[:6000], -sine[:6000]])),
        c_wav=as_file(slow[None], 8000),
        d_wav=as_file(sine[None, :5000]),
    )
    source = AUDIO.open(folder)
    assert source.sample_shape == (1, 6000)
    assert source.notes[1:] == (
        "the sounds have rates of 8,000 Hz (1) and 16,000 Hz (3): the default is 16,000 Hz, that of most",
        "the sounds have different numbers of channels, 3 with 1 and 1 with 2: the default is 1, mono",
    )
    data = source.decode((1, 4500))
    assert data.values == {"sample_rate": 16000, "channels": 1, "length": 4500}
    assert data.notes == (
        "4 mono sounds of 4,500 samples (0.281 s) at 16,000 Hz",
        "1 of them was resampled to 16,000 Hz",
        "1 of them was made mono",
        "2 of them were padded with zeros at the end",
        "2 of them were cut: their beginning is used",
    )
    assert not data.samples[0, 0, 4000:].any()
    assert data.samples[1].abs().max() < 1e-4  # the mean of opposite channels
    assert np.abs(data.samples[2, 0, 200:3800].numpy() - sine[200:3800]).max() < 1e-3
    stereo = source.decode((2, 4500)).samples
    assert torch.equal(stereo[0, 0], stereo[0, 1])


def test_stereo_stays_stereo_where_all_sounds_are(tmp_path):
    sound = tone(channels=2, n=2)
    folder = make(tmp_path / "x", a_wav=as_file(sound[0]), b_wav=as_file(sound[1]))
    assert torch.equal(read(folder).samples, sound)
    assert read(folder, values={"channels": 1, "sample_rate": None}).sample_shape == (1, 64)


def test_values_of_a_configuration_decide(tmp_path):
    folder = make(tmp_path / "x", a_wav=as_file(tone(200)[0], 44100))
    data = read(folder, values={"sample_rate": 22050, "length": 50, "channels": 2, "width": 3})
    assert (data.sample_shape, data.values["sample_rate"]) == ((2, 50), 22050)
    for value in (0, -5, 1.5, "x", True):
        with pytest.raises(DataError, match=r"^length is .*; it must be a whole number from 1 to"):
            AUDIO.open(folder, values={"length": value})


def test_the_default_length_is_bounded(tmp_path):
    folder = make(tmp_path / "x", a_wav=as_file(np.zeros((1, 70_000))))
    source = AUDIO.open(folder)
    assert source.sample_shape == (1, 65_536)
    assert source.notes[-1] == "the longest sound has 70,000 samples: the default is 65,536, and the rest is cut off"
    assert AUDIO.open(folder, values={"length": 70_000}).notes == source.notes[:-1]


def test_samples_beyond_full_scale_are_clipped_and_counted(tmp_path):
    data = read(make(tmp_path / "x", a_wav=as_file(np.array([[0.5, 2.0, -3.0]]), subtype="FLOAT")))
    assert data.samples.tolist() == [[[0.5, 1.0, -1.0]]]
    assert data.notes[-1] == "1 of them was beyond full scale and clipped to [-1, 1]"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (as_file(tone()[0])[:100], "its header states 128 bytes of samples, and 56 follow: it was cut off, or written b"),
        (as_file(tone()[0])[:40] + b"\xff\xff\xff\x7f" + b"\0" * 64, "its header states 2,147,483,647 bytes of samples,"),
        (as_file(tone()[0])[:30], "its header is cut off"),
        (as_file(tone()[0])[:36], "it has no samples"),
        (as_file(np.zeros((1, 0))), "it has no samples"),
        (as_file(tone(5000)[0], form="FLAC")[:3000], "flac decoder lost sync"),
        (as_file(np.array([[0.0, np.nan]]), subtype="FLOAT"), "it has samples that are NaN or infinite"),
        (as_file(np.array([[0.0, 1e300]]), subtype="DOUBLE"), "it has samples that are NaN or infinite"),
        (as_file(tone()[0], rate=1), "its header states 1 samples a second; sounds have 1,000 to 768,000"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "its header does not say what its samples are"),
        (b"what is this?" * 9, "it is no sound, or in a format that is not read here"),
        (as_file(tone()[0], subtype="ULAW")[:90], "its header states 64 bytes of samples, and"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # bytes of libsndfile hold the time
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, content, why):
    """A header that lies makes nothing large either: what it states is compared with what there is."""
    folder = make(tmp_path / "x", bad__1_wav=content, good__1_wav=as_file(tone()[0]))
    with pytest.raises(DataError) as caught:
        read(folder)
    assert str(caught.value).startswith(f"x/bad/1.wav: the sound cannot be decoded: {why}")
    assert str(caught.value).endswith("(--skip-damaged leaves such out)")
    source = AUDIO.open(folder, skip_damaged=True)
    assert source.notes[2] == "1 of 2 sounds is damaged and left out: x/bad/1.wav"
    assert len(source.decode(source.sample_shape)) == 1


def test_a_flac_that_states_a_billion_samples_takes_no_memory(tmp_path, monkeypatch):
    content = bytearray(as_file(tone(5000)[0], form="FLAC"))
    content[8 + 13] |= 0x0F  # the upper bits of the number of samples
    pieces = []
    monkeypatch.setattr(
        sound_files, "_read_coded", lambda coded, start, count: pieces.append(count) or coded.read(count)
    )
    with pytest.raises(DataError, match=r"^x/1\.flac: the sound cannot be decoded: it ends before its header says so"):
        read(make(tmp_path / "x", **{"1_flac": bytes(content)}))
    assert max(pieces) <= 2**18


def test_all_damaged_sounds_are_counted(tmp_path):
    folder = make(tmp_path / "x", a_wav=b"", b_wav=b"", c_wav=as_file(tone()[0]))
    with pytest.raises(DataError, match=r"^x/a\.wav: .*; 1 more cannot be read either$"):
        AUDIO.open(folder)
    (folder / "c.wav").unlink()
    with pytest.raises(DataError, match=r"; 1 more cannot be read either$"):
        AUDIO.open(folder, skip_damaged=True)


@pytest.mark.parametrize("kind", ["float32", "int16", "two axes"])
def test_arrays_are_read(tmp_path, kind):
    sound = tone(n=3)
    array = (sound.numpy() * 32768).astype(np.int16) if kind == "int16" else sound.numpy()
    np.savez(tmp_path / "x.npz", array[:, 0] if kind == "two axes" else array, labels=["b", "a", "b"], sample_rate=8000)
    data = read(tmp_path / "x.npz")
    assert torch.equal(data.samples, sound)
    assert (data.class_names, data.labels.tolist(), data.values["sample_rate"]) == (("a", "b"), [1, 0, 1], 8000)


def test_an_array_without_a_rate_leaves_it_to_the_model(tmp_path):
    np.save(tmp_path / "x.npy", tone(n=2).numpy())
    source = AUDIO.open(tmp_path / "x.npy")
    assert source.values == {"channels": 1, "length": 64}
    assert source.notes[-1] == f"{tmp_path / 'x.npy'} states no sample_rate: the model's own is taken for it"
    assert torch.equal(source.decode((1, 64)).samples, tone(n=2))
    assert AUDIO.open(tmp_path / "x.npy", values={"sample_rate": 8000}).values["sample_rate"] == 8000


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"arr_0": np.full((2, 8), 3.0)}, "has values up to 3; floating samples of sounds are in [-1, 1]"),
        (
            {"arr_0": np.zeros((2, 8), np.uint8)},
            "has an array of uint8; sounds are floating values in [-1, 1], or int16",
        ),
        ({"arr_0": np.zeros(8)}, "must have one array of sounds, (N, channels, length) or (N, length), and may have"),
        ({"arr_0": np.zeros((2, 8)), "sample_rate": np.array("x")}, ": sample_rate must be one whole number"),
    ],
)
def test_arrays_of_something_else_are_refused(tmp_path, arrays, why):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError) as caught:
        AUDIO.open(tmp_path / "x.npz")
    assert f"{tmp_path / 'x.npz'}{'' if why.startswith(':') else ' '}{why}" in str(caught.value)


def test_an_nan_in_an_array_is_named(tmp_path):
    np.savez(tmp_path / "x.npz", np.array([[0.0, 0.5], [0.0, np.nan]]))
    with pytest.raises(DataError, match=r"^x, row 1: the sound cannot be decoded: it has samples that are NaN"):
        read(tmp_path / "x.npz")


def test_what_is_no_data_of_sounds_is_refused(tmp_path):
    (tmp_path / "one.wav").write_bytes(as_file(tone()[0]))
    with pytest.raises(DataError, match=r"one\.wav is a single sound; give the folder that holds your sounds$"):
        AUDIO.open(tmp_path / "one.wav")
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(DataError, match=r"x\.csv cannot be read as sounds; what can be: a folder of sounds \(\.wav"):
        AUDIO.open(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"has no audio column; its columns are image, label; use --column to name it$"):
        AUDIO.open(DIGITS.parent / "mnist")
    with pytest.raises(DataError, match=r"has sounds, \(channels, length\), but the model makes \(3, 8, 8\)$"):
        AUDIO.open(DIGITS).decode((3, 8, 8))
    with pytest.raises(DataError, match=r"^there is no file or folder "):
        AUDIO.open(tmp_path / "nowhere")


def test_an_odd_chunk_before_the_samples_is_passed_over():
    plain = as_file(tone()[0])
    content = plain[:12] + b"LIST\3\0\0\0abc\0" + plain[12:]
    header = read_wave_header(io.BytesIO(content), len(content))
    assert (header.frames, header.offset) == (64, 44 + 12)
    contradicting = bytearray(plain)
    struct.pack_into("<H", contradicting, 32, 3)
    with pytest.raises(ValueError, match="1 channels of 16 bits in 3 bytes"):
        read_wave_header(io.BytesIO(bytes(contradicting)), len(contradicting))


# Writing


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_holds_the_sounds_one_after_the_other(tmp_path, suffix, channels):
    sounds, voice = tone(channels=channels, n=3), Voice((channels, 64), 8000)
    path = AUDIO.write(iter([sounds[:2], sounds[2:]]), 3, voice, tmp_path / f"x.{suffix}")
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    assert (rate, sf.info(path).subtype, samples.shape) == (8000, "PCM_16", (3 * 64 + 2 * 2000, channels))
    for index in range(3):
        first = index * (64 + 2000)
        assert np.array_equal(samples[first : first + 64].T, sounds[index])
        assert not samples[first + 64 : first + 2064].any()
    again = AUDIO.write([sounds], 3, voice, tmp_path / f"y.{suffix}")
    assert again.read_bytes() == path.read_bytes()


def test_one_sound_is_a_file_of_just_that_sound(tmp_path):
    path = AUDIO.write([tone()], 1, Voice(), tmp_path / "x.WAV")
    with wave.open(str(path)) as recording:
        facts = recording.getparams()
    assert (facts.nchannels, facts.sampwidth, facts.framerate, facts.nframes) == (1, 2, 16000, 64)
    assert torch.equal(read(tmp_path).samples, tone())


def test_a_folder_has_a_file_for_each_sound(tmp_path):
    AUDIO.write([tone(n=2), tone(n=1, seed=5)], 3, Voice(), tmp_path / "x", start=7)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["000007.wav", "000008.wav", "000009.wav"]
    assert torch.equal(read(tmp_path / "x").samples, torch.cat([tone(n=2), tone(n=1, seed=5)]))


def test_an_npz_is_what_is_read_again(tmp_path):
    AUDIO.write([tone(n=2)], 2, Voice(rate=11025), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert (arrays["arr_0"].dtype, arrays["arr_0"].shape, int(arrays["sample_rate"])) == (
            "float32",
            (2, 1, 64),
            11025,
        )
    data = read(tmp_path / "x.npz")
    assert torch.equal(data.samples, tone(n=2))
    assert data.values["sample_rate"] == 11025


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.npz", "x"])
def test_what_fails_leaves_nothing(tmp_path, name):
    def batches():
        yield tone()
        raise SamplingError("no more")

    with pytest.raises(SamplingError):
        AUDIO.write(batches(), 2, Voice(), tmp_path / name)
    with pytest.raises(SamplingError, match="there are fewer samples than the 5 requested"):
        AUDIO.write([tone()], 5, Voice(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_the_systems_error_with_flac_too(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), recordings._flac(sf, Full(), 16000, 1) as put:
        put(np.zeros((100_000, 1), np.int16))


@pytest.mark.parametrize(
    ("name", "shape", "n", "rate", "why"),
    [
        (
            "x.wav",
            (1, 8192),
            300_000,
            16000,
            "300,000 sounds of 8,192 samples take 7.3 GB, and a .wav holds 4.3 GB at mos",
        ),
        ("x.flac", (9, 64), 1, 16000, "a .flac has 8 channels at most, not 9"),
        ("x.flac", (1, 64), 1, 700_000, "a .flac has 655,350 samples a second at most, not 700,000"),
        ("x.flac", (1, 2**24), 2**13, 16000, "8,192 sounds of 16,777,216 samples are too many for a .flac"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_anything_is_sampled(tmp_path, name, shape, n, rate, why):
    def batches():
        raise AssertionError("nothing is to be sampled")
        yield

    with pytest.raises(OutputError) as caught:
        AUDIO.write(batches(), n, Voice(shape, rate), tmp_path / name)
    assert why in str(caught.value)
    assert str(caught.value).endswith("; use a name in .npz, or of a folder")
    if rate != 700_000:  # which nothing but the generator knows
        assert AUDIO.problem_with_output(Path(name).suffix, n, shape)[:30] == why[:30]


def test_a_generator_states_its_rate():
    class Config(ModelConfig, frozen=True):
        sample_rate: int = 22050

    voice = Voice(rate=None)
    with pytest.raises(InterfaceError, match=r"^Voice has no sample_rate: set self\.sample_rate in __init__, or give"):
        AUDIO.picture(tone(), voice)
    voice.config = Config()
    assert AUDIO.picture(tone(), voice).shape[2] == 3
    voice.sample_rate = 16000.5
    with pytest.raises(InterfaceError, match=r"^Voice\.sample_rate is 16000\.5; it must be a whole number above 0$"):
        AUDIO.picture(tone(), voice)


def test_samples_are_public_in_minus_one_to_one():
    sounds = Voice().sample(8, seed=3)
    assert (sounds.dtype, sounds.shape) == (torch.float32, (8, 1, 64))
    assert sounds.abs().max() == 1  # a normal variate beyond was clipped
    assert (AUDIO.problem_with((1, 64)), AUDIO.problem_with((16000, 1))) == (None, "sounds are (channels, length)")


# Showing


@pytest.mark.parametrize(
    ("n", "shape"), [(1, (246, 324, 3)), (2, (246, 646, 3)), (7, (371, 488, 3)), (64, (986, 1298, 3))]
)
def test_sounds_are_shown_in_a_grid(n, shape):
    picture = AUDIO.picture(tone(n=n), Voice())
    assert (picture.shape, picture.dtype) == (shape, np.uint8)
    assert AUDIO.picture(tone(n=n), Voice(), columns=1).shape[1] == shape[1] if n == 1 else True


def test_all_channels_are_shown():
    assert AUDIO.picture(tone(n=5, channels=2), Voice((2, 64))).shape == AUDIO.picture(tone(n=5), Voice()).shape
    assert AUDIO.picture(tone(n=5, channels=12), Voice((12, 64))).shape[0] == 2 * (8 * 16 + 1 + 80 + 2) + 2
    opposite = torch.cat([tone(4096), -tone(4096)], 1)
    power = spectrogram.mel_power(opposite[0].numpy(), 16000, 16, 80)
    assert np.allclose(power, spectrogram.mel_power(tone(4096)[0].numpy(), 16000, 16, 80))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("pitch", [300, 1000, 3000])
def test_a_sine_lights_up_the_band_of_its_pitch(rate, pitch):
    sine = np.sin(2 * np.pi * pitch * np.arange(rate) / rate)[None].astype(np.float32)
    power = spectrogram.mel_power(sine, rate, 10, 80)[:, 5]
    mel = 2595 * np.log10(1 + np.array([pitch, rate / 2]) / 700)
    assert abs(int(power.argmax()) - (mel[0] / mel[1] * 81 - 1)) <= 1
    assert 0.2 < power.max() < 1.5
    quieter = spectrogram.mel_power(sine / 10, rate, 10, 80)[:, 5]
    assert np.allclose(quieter * 100, power)  # 20 decibels; nothing is stretched


def test_a_waveform_is_where_its_samples_are():
    ramp = np.linspace(-1, 1, 1000)
    picture = spectrogram.draw_wave(ramp, 101, 41)
    rows = [np.flatnonzero((picture[:, column] == spectrogram._WAVE).all(1)).mean() for column in (0, 50, 100)]
    assert rows == pytest.approx([40, 20, 0], abs=0.6)
    few = spectrogram.draw_wave(np.array([-1.0, 1.0]), 40, 21)  # two samples: the line between them
    assert (few == spectrogram._WAVE).all(2).any(0).all()


@pytest.mark.parametrize(
    "sound", [np.zeros((1, 1)), np.full((1, 5), np.nan), np.full((1, 9), 7.0), np.zeros((1, 2**18))]
)
def test_any_sound_can_be_drawn(sound):
    assert spectrogram.draw_sound(sound.astype(np.float32), 1000).shape == (121, 160, 3)


def test_the_colours_become_lighter_by_equal_steps():
    """CIELAB's lightness is another one than that by which they were made."""
    table = spectrogram.colours().astype(float) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
    assert (lightness[0], len(np.unique(table, axis=0))) == (pytest.approx(1, abs=1), pytest.approx(256, abs=12))
    coarse = np.diff(lightness[::15])
    assert lightness[-1] > 96
    assert coarse.min() > 2
    assert coarse[2:].max() / coarse[2:].min() < 2


def test_data_in_memory_carries_its_values():
    data = TrainingData.from_tensors(tone(n=2), values={"sample_rate": 8000})
    assert data.values["sample_rate"] == 8000


def test_the_nearest_sound_is_the_one_that_sounds_alike_whatever_the_phase():
    time = torch.arange(4096) / 16000
    tones = [torch.sin(2 * torch.pi * frequency * time + phase) for frequency, phase in ((440, 0), (880, 0), (440, 2))]
    data = TrainingData.from_tensors(torch.stack([0.01 * tones[1], tones[1], tones[2]])[:, None])
    sample = tones[0][None, None]
    assert nearest(sample, data, 1, kind=AUDIO).item() == 2
    assert nearest(sample, data, 1).item() == 0, "as waves, what is nearly silent is nearer"
