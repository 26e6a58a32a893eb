"""Oracle: what a user gave twice is what it would have been in one go; an option that was not given has its default."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.cli import make_parser as make_runtime_parser
from MultiTaskSegLib.runtime.machine.command_words import CommandParser, parsed
from trainer.cli import make_parser as make_trainer_parser

SEGMENT = ("segment", "scan.nii", "-o", "out")


def command_parser() -> CommandParser:
    parser = CommandParser(prog="test")
    command = parser.add_subparsers(required=True).add_parser("run")
    command.add_argument("images", nargs="*", default=[])
    command.add_argument("--kinds", nargs="+", default=("all", "of them"))
    command.add_argument("--folds", nargs="*", default=())
    command.add_argument("--numbers", type=int, nargs="+", choices=(1, 2, 3))
    command.add_argument("--seed", type=int, default=7)
    return parser


@pytest.mark.parametrize(
    ("apart", "together"),
    [
        (["--kinds", "a", "--kinds", "b", "c"], ["--kinds", "a", "b", "c"]),
        (["--folds", "--folds", "1"], ["--folds", "1"]),
        (["--numbers", "1", "--seed", "3", "--numbers", "2", "3"], ["--numbers", "1", "2", "3", "--seed", "3"]),
        (["x", "y", "--kinds=a", "--kinds=b"], ["x", "y", "--kinds", "a", "b"]),
    ],
)
def test_values_given_in_two_goes_are_those_given_in_one(apart: list[str], together: list[str]) -> None:
    assert parsed(command_parser(), ["run", *apart]) == parsed(command_parser(), ["run", *together])


def test_an_option_that_is_not_given_has_its_default_and_one_that_is_given_has_nothing_of_it() -> None:
    without = parsed(command_parser(), ["run"])
    assert (without.images, without.kinds, without.folds, without.numbers) == ([], ("all", "of them"), (), None)
    assert parsed(command_parser(), ["run", "--kinds", "a"]).kinds == ["a"]


def test_a_parser_that_is_used_twice_remembers_nothing() -> None:
    parser = command_parser()
    parsed(parser, ["run", "--kinds", "a", "--kinds", "b"])
    assert parsed(parser, ["run", "--kinds", "c"]).kinds == ["c"]


def test_one_value_given_twice_is_the_last_as_everywhere() -> None:
    assert parsed(command_parser(), ["run", "--seed", "1", "--seed", "2"]).seed == 2


def test_every_dataset_of_a_training_and_every_structure_of_a_segmentation_is_kept() -> None:
    train = parsed(make_trainer_parser(), ["train", "--data", "a", "--data", "b", "-o", "m.safetensors"])
    assert train.data == [Path("a"), Path("b")]
    segment = parsed(make_runtime_parser(), [*SEGMENT, "--structures", "liver", "--structures", "spleen"])
    assert segment.structures == ["liver", "spleen"]


def test_no_command_has_an_option_of_several_values_that_forgets_some() -> None:
    for parser in (make_runtime_parser(), make_trainer_parser()):
        parsers = [parser]
        while parsers:
            current = parsers.pop()
            for action in current._actions:
                if action.nargs in ("+", "*") and action.option_strings:
                    assert type(action).__name__ == "_Kept", (current.prog, action.option_strings)
                if isinstance(action.choices, dict):
                    parsers += action.choices.values()
