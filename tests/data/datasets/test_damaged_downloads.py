"""Downloads of which one label file is damaged: read, or refused with a message that names a file."""

import json
import pathlib
from collections.abc import Callable, Mapping

import pytest
from text_mutations import mutated

from motion_vit.data.datasets import epic_kitchens100, finegym, hmdb51, mpii_cooking2, own_videos, ucf101
from motion_vit.data.datasets.source_dataset import SourceDataset
from motion_vit.errors import UserError

_EPIC_ROWS = (
    "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,verb_class,all_nouns\n"
    "P01_01_0,P01,P01_01,00:00:00.14,00:00:03.37,0,\"['plate', 'pan']\"\n"
    "P01_01_1,P01,P01_01,00:00:04.00,00:00:05.00,1,['cup']\n"
)
_GYM_EVENT = {
    "event": 1,
    "timestamps": [[2184.0, 2237.5]],
    "segments": {"A_0035_0036": {"stages": 1, "timestamps": [[35.25, 36.7]]}},
}
_DOWNLOADS: Mapping[str, tuple[Callable[[pathlib.Path], SourceDataset], Mapping[str, str]]] = {
    "ucf101": (
        ucf101.read,
        {
            "classInd.txt": "1 Archery\n2 BabyCrawling\n",
            "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\nBabyCrawling/v_BabyCrawling_g08_c01.avi 2\n",
            "testlist01.txt": "Archery/v_Archery_g01_c01.avi\n",
        },
    ),
    "hmdb51": (
        hmdb51.read,
        {
            "clap_test_split1.txt": "a (1)_clap_0.avi 1 \nb_clap_0.avi 2 \nc_clap_0.avi 0 \n",
            "wave_test_split1.txt": "a_wave_0.avi 1 \nb_wave_0.avi 2 \n",
        },
    ),
    "epic_kitchens100": (
        epic_kitchens100.read,
        {
            "EPIC_100_verb_classes.csv": "id,key,instances,category\n0,take,\"['get', 'grab']\",x\n1,put,['lay'],y\n",
            "EPIC_100_train.csv": _EPIC_ROWS,
            "EPIC_100_validation.csv": _EPIC_ROWS,
        },
    ),
    "finegym": (
        finegym.read,
        {
            "gym99_categories.txt": "Clabel: 0; set: 1; Glabel: 1; (VT) on\nClabel: 1; set: 2; Glabel: 5; (BB) off\n",
            "gym99_train_element_v1.1.txt": "A0xAXXysHUo_E_002184_002237_A_0035_0036 1\n",
            "gym99_val_element.txt": "A0xAXXysHUo_E_002184_002237_A_0035_0036 0\n",
            "finegym_annotation_info_v1.1.json": json.dumps({"A0xAXXysHUo": {"E_002184_002237": _GYM_EVENT}}),
        },
    ),
    "mpii_cooking2": (
        mpii_cooking2.read,
        {
            "attributesAnnotations_MPII-Cooking-2.mat": "not the MATLAB file",
            "sequencesTrainAttr.txt": "s08-d02\ns37-d74\n",
            "sequencesVal.txt": "s07-d72\n",
            "sequencesTest.txt": "s09-d01\n",
        },
    ),
    "own_videos": (
        own_videos.read,
        {
            "train.csv": 'path,label,start,end\na.mp4,"wave, both",0,2.5\nb.mp4,clap,,\na.mp4,clap,3,\n',
            "val.csv": "path,label\nc.mp4,clap\n",
            "labels.txt": "clap\nwave, both\n",
        },
    ),
}


def _message(read: Callable[[], object]) -> str:
    try:
        return str(read())
    except UserError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("name", _DOWNLOADS)
def test_a_download_with_a_damaged_file_is_read_or_refused_in_words(tmp_path, name):
    read, files = _DOWNLOADS[name]
    for seed in range(60):
        damaged = sorted(files)[seed % len(files)]
        for file, text in files.items():
            (tmp_path / file).write_bytes(mutated(text.encode(), seed) if file == damaged else text.encode())
        message = _message(lambda: read(tmp_path))
        if message.startswith("refused: "):
            assert str(tmp_path) in message, f"seed {seed}: {message}"
            assert len(message) < 2000, f"seed {seed}"
        message.encode()  # Neither an id nor a message holds what cannot be written.
