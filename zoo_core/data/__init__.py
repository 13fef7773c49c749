"""Data: what models are trained on and measured against.

training_data     TrainingData: samples, labels, and what is known of both
from_memory       training data from tensors, arrays, lists, Datasets and DataLoaders
tensors           samples and labels as the tensors that training takes
source            DataSource: data whose shape is known, and which is not yet decoded
file_types        which files and columns hold the samples of one kind
selection         which samples of a source are used, and what is said about them
given_values      values of a configuration that decide how data is read
opening           from what `--data` names to the pictures of a data source
encoded_pictures  the interface of every data source
picture_folder    a folder of pictures
zip_archive       a .zip of pictures
folder_structure  the splits and classes that the folders of both state
parquet_rows      Parquet files
hub_rows          data sets on the Hub
pixel_arrays      arrays of pixels
tensor_files      tensors of any shape in files
numpy_files       … in .npz and .npy
idx               … in the files of MNIST
sound_source      sounds on their way to samples: of one rate, one number of channels and one length
sound_survey      the rates, channels and lengths of all sounds, and which are damaged
sound_formats     which files are sounds that can be read
sound_files       encoded sounds, opened and decoded
sound_arrays      … in .npz and .npy
sound_libraries   … of the extra `audio`, for both
wave_files        the samples of WAV files
text_opening      from what `--data` names to texts
text_source       texts on their way to samples: of one alphabet and one length
text_formats      which files are texts
text_lines        the lines of text files
text_tables       texts in JSON Lines, CSV and Parquet files
alphabet          texts as codes of their characters, and back
splits            the names of splits, and the choice of one
columns           the columns of tables that hold pictures and classes
class_labels      classes from the values that data states
picture_formats   which files are pictures that can be read
image_source      pictures on their way to samples: in memory, in the cache, or decoded for every batch
picture_survey    the kinds and sizes of all pictures, and which are damaged
decoding          from encoded pictures to pixels
orientation       which way up a picture is, by EXIF
deep_pixels       pixels of more than 8 bits, and which value becomes white
picture_codecs    opening of picture files, HEIC and JPEG XL among them
decoding_workers  decoding ahead, in processes of their own
cache             decoded pictures on disk
source_files      the files that a data set was read from, and whether they changed
fingerprint       a sha256 over samples and labels
"""

__all__ = [
    "alphabet",
    "cache",
    "class_labels",
    "columns",
    "decoding",
    "decoding_workers",
    "deep_pixels",
    "encoded_pictures",
    "file_types",
    "fingerprint",
    "folder_structure",
    "from_memory",
    "given_values",
    "hub_rows",
    "idx",
    "image_source",
    "numpy_files",
    "opening",
    "orientation",
    "parquet_rows",
    "picture_codecs",
    "picture_folder",
    "picture_formats",
    "picture_survey",
    "pixel_arrays",
    "selection",
    "sound_arrays",
    "sound_files",
    "sound_formats",
    "sound_libraries",
    "sound_source",
    "sound_survey",
    "source",
    "source_files",
    "splits",
    "tensor_files",
    "tensors",
    "text_formats",
    "text_lines",
    "text_opening",
    "text_source",
    "text_tables",
    "training_data",
    "wave_files",
    "zip_archive",
]
