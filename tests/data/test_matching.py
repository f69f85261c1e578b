"""Classes of photos, and classes of other networks, matched to a network's outputs."""

from __future__ import annotations

import pytest

from edgenet.data.labels import matching_outputs, outputs_for
from edgenet.errors import EdgenetError
from edgenet.zoo.catalogue import labels_for

PETS = ["cat", "dog", "hamster"]


def test_by_name_in_any_order() -> None:
    assert outputs_for(["cat", "dog"], {0, 1}, ["dog", "hamster", "cat"], "x") == {0: 2, 1: 0}


def test_case_and_underscores_do_not_matter() -> None:
    labels = ["Guinea pig", "golden retriever"]
    assert outputs_for(["golden_retriever", "guinea_pig"], {0, 1}, labels, "x") == {0: 1, 1: 0}


def test_only_classes_that_occur_must_be_known() -> None:
    assert outputs_for(["cat", "unicorn"], {0}, PETS, "x") == {0: 0}


def test_unnamed_classes_are_numbers() -> None:
    assert outputs_for(["", "", ""], {0, 2}, PETS, "x") == {0: 0, 2: 2}
    assert outputs_for(["", ""], {0, 1}, ["background", "cat", "dog"], "x") == {0: 1, 1: 2}


def test_as_many_classes_as_outputs_are_numbers_in_another_language() -> None:
    assert outputs_for(["Hund", "Katze"], {0, 1}, ["dog", "cat"], "x") == {0: 0, 1: 1}


def test_a_name_at_another_place_speaks_against_numbers() -> None:
    """By number, `cat` would be measured as `dog`."""
    with pytest.raises(EdgenetError, match=r"not among its labels: wolf"):
        outputs_for(["cat", "wolf"], {0, 1}, ["dog", "cat"], "x")


def test_imagenet_spelled_in_another_way() -> None:
    """Two cranes, two maillots, `Cardigan` the dog and `cardigan` the garment: names alone do not tell them apart."""
    labels = labels_for(1001)
    names = [label.replace(" ", "_") for label in labels[1:]]
    names[134] = "crane"  # the bird; torchvision says "crane bird"
    expected = {index: index + 1 for index in range(1000)}
    assert outputs_for(names, set(range(1000)), labels, "x") == expected
    # Photos of some classes, with a gap at the end: still the same numbers.
    assert outputs_for(names[:999], {264, 474, 998}, labels, "x") == {i: i + 1 for i in (264, 474, 998)}


@pytest.mark.parametrize(
    ("names", "labels", "found"),
    [
        (["cat", "fox"], PETS, "has 2 classes and the network has 3 outputs; not among its labels: fox"),
        (["dog", "cat"], ["cat", "cat", "dog"], "several of its outputs are called cat"),
        (["", "", "", ""], PETS, "has 4 classes and the network has 3 outputs"),
        ([f"class{i}" for i in range(9)], PETS, "class0, class1, class2, class3, class4 and 4 more"),
    ],
)
def test_a_mismatch_is_refused(names: list[str], labels: list[str], found: str) -> None:
    with pytest.raises(EdgenetError, match=found) as caught:
        outputs_for(names, set(range(len(names))), labels, "photos.zip")
    assert caught.value.found.startswith("photos.zip has ")
    assert caught.value.remedy


def test_networks_with_and_without_background_correspond() -> None:
    with_background, without = labels_for(1001), labels_for(1000)
    assert matching_outputs(with_background, without) == [None, *range(1000)]
    assert matching_outputs(without, with_background) == list(range(1, 1001))
    assert matching_outputs(with_background, with_background) == list(range(1001))


def test_networks_with_classes_in_another_order_correspond_by_name() -> None:
    assert matching_outputs(PETS, ["dog", "cat", "hamster"]) == [1, 0, 2]


def test_networks_without_names_correspond_by_number() -> None:
    assert matching_outputs(PETS, ["class 0", "class 1", "class 2"]) == [0, 1, 2]


def test_networks_of_different_sizes_share_what_has_the_same_name() -> None:
    assert matching_outputs(PETS, ["dog", "wolf"]) == [None, 0, None]
    assert matching_outputs(["dog", "wolf"], ["background", *PETS]) == [2, None]


def test_labels_with_several_names_match_by_the_first() -> None:
    labels = ["background", "tench, Tinca tinca", "goldfish, Carassius auratus", "crane, bird"]
    assert outputs_for(["tench", "goldfish"], {0, 1}, labels, "x") == {0: 1, 1: 2}
    assert matching_outputs(labels, ["background", "tench", "goldfish", "crane"]) == [0, 1, 2, 3]
    # Names that hold a comma themselves are found as they are.
    assert outputs_for(["red, big", "red, small"], {0, 1}, ["red, small", "red, big"], "x") == {0: 1, 1: 0}
