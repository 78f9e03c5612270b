"""The table of published weights: every row builds, has the names that its source has, and is told as it is."""

import functools
import json
import re

import goldens
import pytest
from flax import traverse_util

import motion_vit
from motion_vit import cli
from motion_vit.interop.families.registry import model_family, torch_entries
from motion_vit.interop.families.vivit import scenic_arrays
from motion_vit.interop.importing.label_file import read_label_file
from motion_vit.models.checked_model import variable_shapes
from motion_vit.training.recipe.checks import validate_fields
from motion_vit.training.recipe.config import config_from_dict
from motion_vit.zoo.label_names import label_files
from motion_vit.zoo.table import datasets, find_weights, named_labels, published_weights, rows_of

ROWS = published_weights()

ROW = {
    "id": "a",
    "repository": "owner/name",
    "file": "a.pth",
    "format": "torch",
    "model": "uniformer_s",
    "data": "kinetics400",
    "preprocessing": {"channel_order": "rgb", "mean": [0.45] * 3, "std": [0.225] * 3, "sampling": "dense", "stride": 8},
    "licence": "MIT",
    "commercial": True,
    "source": "a page",
}


def table(**changes):
    row = {name: value for name, value in (ROW | changes).items() if value is not None}
    return {"group": [{"row": [row]}]}


def kinds(names):
    """Names of weights without the numbers of blocks, nor what every BatchNorm counts."""
    number = r"(?<=\.)\d+(?=\.)|(?<=encoderblock_)\d+"  # of PyTorch, and of scenic
    return {re.sub(number, "N", name) for name in names if "num_batches" not in name}


def names_of_source(model, row):
    """What the weights of a model of a row are called where they were published."""
    paths = traverse_util.flatten_dict(variable_shapes(model), sep="/")
    names = {entry.name for entry in torch_entries(model, paths).values()}
    form = model_family(model).huggingface
    if row.format == "torch":
        return names
    if row.format == "flax":
        smaller = {"width": 8, "depth": 1, "temporal_depth": 1, "heads": 1, "num_classes": 1}
        model = motion_vit.create_model(row.model, **row.options | smaller)
        shapes = traverse_util.flatten_dict(variable_shapes(model), sep="/")
        return set(scenic_arrays(model, {path: goldens.np.zeros(each.shape) for path, each in shapes.items()}))
    empty = goldens.np.zeros((3, 1), goldens.np.float32)
    return set(form.names(dict.fromkeys(names, empty)))


def expected_names(row):
    """The names in the golden of such a network."""
    if row.model.startswith("timesformer"):
        return json.loads((goldens.FOLDER / "huggingface" / "names.json").read_text())
    if row.model.startswith("videomae"):
        return goldens.state_dict_shapes("videomae_hf_tiny" if row.format == "huggingface" else "videomae_base")
    if row.model.startswith("uniformer"):
        return goldens.state_dict_shapes("uniformer_tiny")
    if row.model.startswith("vivit"):
        network = "factorized_encoder" if row.model.endswith("_factorised") else "spacetime"
        names = json.loads((goldens.FOLDER / "vivit" / "names.json").read_text())
        return names["huggingface" if row.format == "huggingface" else network]
    if row.model.startswith("x3d"):
        return goldens.x3d_names()["shapes"]["x3d_tiny"]
    if row.model.startswith("video_swin"):
        return goldens.video_swin_state_dict("window877")
    if row.model.startswith("mvit"):
        return goldens.mvit_state_dict()
    shapes = json.loads((goldens.FOLDER / "video_resnet" / "shapes.json").read_text())
    if (network := row.model.replace("_18", "_tiny")) in shapes:
        return shapes[network]
    tiny = {"slow": "slow_tiny", "slowfast": "slowfast_tiny", "c2d": "c2d_tiny", "i3d": "i3d_tiny"}
    network = tiny.get(row.model.partition("_")[0])
    if network is None:
        pytest.fail(f"no golden is named for {row.id}: say here which one has its names")
    return goldens.slowfast_names("shapes")[network]


@functools.cache
def found_names(name, options, file_format):
    """Names of the weights of a network, whatever clips it takes."""
    model = motion_vit.create_model(name, **dict(options))
    row = next(row for row in ROWS.values() if row.format == file_format and row.model == name)
    return names_of_source(model, row)


def two_blocks(model):
    """Options of a network of as few blocks as have all names of a deeper one."""
    depths = {option: getattr(model, option, ()) for option in ("depth", "temporal_depth", "depths")}
    return {
        option: tuple(min(2, depth) for depth in found) if option == "depths" else min(2, found)
        for option, found in depths.items()
        if found
    }


@pytest.mark.fast_cases(
    "uniformer_small_*",
    "timesformer_*",
    "videomae_base_*",
    "slow_*",
    "x3d_m_*",
    "r3d_*",
    "video_swin_t_*",
    "vivit_b_*",
)
@pytest.mark.parametrize("name", ROWS)
def test_the_weights_of_a_row_are_called_as_in_the_golden_of_its_network(name):
    row = ROWS[name]
    beside = ("frames", "image_size", "num_classes")  # of which no name depends
    options = {option: value for option, value in row.options.items() if option not in beside}
    options |= two_blocks(motion_vit.create_model(row.model, **options))
    found = found_names(row.model, tuple(sorted(options.items())), row.format)
    assert kinds(found) == kinds(expected_names(row))


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_a_recipe(name):
    row = ROWS[name]
    model = motion_vit.create_model(row.model, **row.model_options)
    assert model.num_classes == datasets()[row.data].classes
    kept = {option: value for option, value in row.options.items() if option not in ("frames", "image_size")}
    data = {**row.preprocessing, "frames": model.frames, "size": model.image_size}
    config = config_from_dict({"model": {"name": row.model, "options": kept}, "data": data})
    config.evaluation.clips, config.evaluation.crops = row.clips, row.crops
    validate_fields(config)
    assert {option: getattr(model, option) for option in kept} == kept


def test_what_was_not_verified_and_what_must_not_be_sold_is_in_the_table(capsys):
    assert cli.main(["models"]) == 0
    lines = {line.split()[0].rstrip("*"): line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() - {"name", ""} == set(ROWS)
    for name, row in ROWS.items():
        assert ("*" in lines[name]) == bool(row.unverified)
        assert ("not commercial" in lines[name]) == (not row.commercial)


def test_the_table_is_json_for_programs(capsys):
    assert cli.main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == list(ROWS)
    assert rows[0]["repository"] == "Sense-X/uniformer_video"


def test_a_row_is_told_in_full(capsys):
    assert cli.main(["models", "slowfast_8x8_r101_k400"]) == 0
    assert re.search(r"options +image_size=256, depths=\(3, 4, 23, 3\)", capsys.readouterr().out)


def test_an_unknown_name_leads_to_the_nearest():
    with pytest.raises(motion_vit.UserError, match=r"Did you mean 'videomae_base_ssv2_16'\?"):
        find_weights("videomae_bsae_ssv2")
    with pytest.raises(motion_vit.UserError, match=r"Of that kind are x3d_m_k400\."):
        find_weights("X3D_M_K400")
    with pytest.raises(
        motion_vit.UserError, match=r"Of that kind are x3d_xs_k400, x3d_s_k400, x3d_m_k400, x3d_l_k400\."
    ):
        find_weights("X3D")
    with pytest.raises(motion_vit.UserError, match=r"Of that kind are uniformer_small_k400_16x8, uniformer_base_k400"):
        find_weights("hf:Sense-X/uniformer_video")


def test_a_row_replaces_what_its_group_shares():
    group = {**ROW, "row": [{"id": "b", "licence": "BSD", "preprocessing": {"stride": 4}}]}
    (row,) = rows_of({"group": [group]})
    assert (row.id, row.licence, row.preprocessing["stride"], row.preprocessing["sampling"]) == ("b", "BSD", 4, "dense")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "A b"}, "its id is no name"),
        ({"url": "https://host/a.pth"}, "either a repository or a url"),
        ({"repository": None, "file": "", "url": "http://host/a.pth"}, "does not begin with https"),
        ({"repository": "name"}, "is not owner/name"),
        ({"file": ""}, "its file must be named"),
        ({"data": "imagenet"}, "its data are none of kinetics400"),
        ({"labels": "kinetics"}, "its labels are none of hmdb51"),
        ({"options": {"num_classes": 400}}, "num_classes is among its options"),
        ({"preprocessing": {"channel_order": "rgb"}}, "its preprocessing has no mean, std, sampling"),
        ({"preprocessing": ROW["preprocessing"] | {"size": 3}}, "its preprocessing has size"),
        ({"preprocessing": ROW["preprocessing"] | {"sampling": "segment"}}, "dense sampling has a stride"),
        ({"sha256": "xyz"}, "its sha256 is not"),
        ({"top1": 101.0}, "no share in per cent"),
        ({"megabytes": -1}, "are not above 0"),
        ({"clips": 0}, "clips and crops"),
        ({"licence": ""}, "names no licence"),
        ({"format": "pickle"}, "its field format"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
        ({"source": None}, "missing 1 required"),
    ],
)
def test_a_row_that_is_not_as_it_should_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=rf"row '.*' of the zoo is not as it should be: .*{message}"):
        list(rows_of(table(**changes)))


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.format != "huggingface"])
def test_a_prediction_of_a_file_has_words(name):
    row = ROWS[name]
    names = read_label_file(label_files()[row.label_list])  # which refuses a name that is there twice
    assert len(names) == datasets()[row.data].classes
    assert row.to_dict()["labels"] == row.label_list


@pytest.mark.parametrize("name", label_files())
def test_a_list_of_names_has_as_many_as_its_dataset_and_is_in_plain_text(name):
    of_its_dataset = {dataset.classes for key, dataset in datasets().items() if name.startswith(key)}
    names = read_label_file(label_files()[name])
    assert {len(names)} == of_its_dataset
    assert label_files()[name].read_text("ascii") == "".join(f"{label}\n" for label in names)


def test_the_names_are_in_the_order_of_the_datasets_numbers():
    kinetics, ucf, hmdb, something = (
        read_label_file(label_files()[name]) for name in ("kinetics400", "ucf101", "hmdb51", "something_something_v2")
    )
    assert (kinetics[0], kinetics[5], kinetics[399]) == ("abseiling", "archery", "zumba")
    assert (ucf[0], ucf[35], ucf[100]) == ("ApplyEyeMakeup", "HammerThrow", "YoYo")
    assert (hmdb[0], hmdb[25], hmdb[50]) == ("brush_hair", "pour", "wave")
    assert (something[47], something[93], something[173]) == (
        *("Picking something up", "Pushing something from left to right", "Wiping something off of something"),
    )


@pytest.mark.parametrize("dataset", ["kinetics400", "kinetics600", "kinetics700", "hmdb51", "something_something_v1"])
def test_names_whose_numbers_are_the_order_of_the_alphabet_are_in_it(dataset):
    names = read_label_file(named_labels(dataset))
    assert list(names) == sorted(names)


@pytest.mark.parametrize("dataset", ["kinetics400", "kinetics600"])
def test_uniformer_numbers_the_same_classes_in_its_own_order(dataset):
    usual, own = (read_label_file(label_files()[name]) for name in (dataset, f"{dataset}_uniformer"))
    assert sorted(own) == list(usual)
    assert sum(first == second for first, second in zip(usual, own, strict=True)) < 5
    # as the authors' lists of videos number them
    numbers = {
        "kinetics400": {"abseiling": 341, "riding a bike": 0},
        "kinetics600": {"abseiling": 199, "feeding fish": 0},
    }
    assert {name: own.index(name) for name in numbers[dataset]} == numbers[dataset]


def test_the_classes_of_videomae_v2_begin_with_those_of_kinetics400_in_uniformers_order():
    merged, first = (
        read_label_file(label_files()[name]) for name in ("kinetics710_videomae_v2", "kinetics400_uniformer")
    )
    same = [a == b for a, b in zip(merged, first, strict=False)]
    assert len(same) - sum(same) == 13  # classes that Kinetics-600 and -700 call otherwise, such as "making bed"
    later = set(merged[400:])
    assert len(later & set(read_label_file(label_files()["kinetics600"]))) > 200
    assert later <= {*read_label_file(label_files()["kinetics600"]), *read_label_file(label_files()["kinetics700"])}


def test_a_list_is_found_by_the_name_of_its_dataset_and_another_name_leads_to_the_nearest():
    assert named_labels("something_something_v1") == label_files()["something_something_v2"]
    with pytest.raises(
        motion_vit.UserError, match=r"Did you mean 'kinetics600'\? The lists .* are hmdb51, kinetics400,"
    ):
        named_labels("kinetics60")


def test_a_row_says_none_of_what_it_has_not():
    rows = [row.to_dict() for row in published_weights().values()]
    of_files, of_repositories = ([row for row in rows if bool(row["url"]) == is_file] for is_file in (True, False))
    assert {(row["repository"], row["revision"]) for row in of_files} == {(None, None)}
    assert all(row["repository"] and row["revision"] and row["url"] is None for row in of_repositories)
    assert {row["megabytes"] for row in rows if not row["megabytes"]} == {None}
