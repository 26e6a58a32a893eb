"""What the command line promises beside its results: warnings are told, memory goes back, nothing goes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.predictor import Predictor, open_predictor
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference, write_tiny_model

MENDED = "1 NaN or infinite voxels were replaced by the smallest finite value"
# Python tells an audit hook about every connection and every look-up of a name, in whatever library they happen.
WATCH = """
import os, sys
OUT = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
def watch(event, arguments):
    if event in OUT:
        with open(os.environ["CONNECTIONS"], "a") as stream:
            stream.write(event + "\\n")
        raise OSError("there is no network")
sys.addaudithook(watch)
"""
CONNECT = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', 9), 1)"
RUN_ALL = """
import json, sys
from MultiTaskSegLib.runtime import cli

OPEN = "MultiTaskSegLib.runtime.predictor.open_predictor"
for arguments in json.loads(sys.argv[1]):
    assert cli.main(arguments) == 0, arguments
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors", with_cells=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A good image, and one with a voxel that is no number."""
    folder = tmp_path_factory.mktemp("images")
    voxels = np.random.default_rng(8).normal(200, 40, (10, 11, 12)).astype(np.float32)
    spoilt = voxels.copy()
    spoilt[3, 3, 3] = np.nan
    paths = folder / "good.nrrd", folder / "mended.nrrd"
    for path, content in zip(paths, (voxels, spoilt), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(content), str(path))
    return paths


def test_check_tells_what_was_mended_in_an_image(
    model: Path, images: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    good, mended = map(str, images)
    assert cli.main(["check", good, mended, "-m", str(model), "--json"]) == 0
    told = {entry["image"]: entry["warnings"] for entry in json.loads(capsys.readouterr().out)}
    assert told == {good: [], mended: [MENDED]}
    assert cli.main(["check", good, mended, "-m", str(model)]) == 0
    assert capsys.readouterr().err.splitlines() == [f"warning: {mended}: {MENDED}"]


def test_segment_tells_its_warnings_on_standard_error(
    model: Path, images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(images[1]), "-m", str(model), "-o", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["warnings"]
    assert MENDED in written
    assert capsys.readouterr().err.splitlines() == [f"warning: {warning}" for warning in written]


def test_the_summary_gives_volumes_in_millilitres(
    model: Path, images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(images[0]), "-m", str(model), "-o", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for label in json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["labels"]:
        own = next(line for line in lines if f" {label['name']} " in line)
        assert f" {label['voxels'] / 1000:.2f} ml" in own  # voxels of 1 mm^3


def test_memory_goes_back_to_the_system_after_each_image(
    model: Path, images: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said_before: list[int] = []
    monkeypatch.setattr(cli, "release_freed_memory", lambda: said_before.append(capsys.readouterr().out.count("p = ")))
    assert cli.main(["check", *map(str, images), "-m", str(model)]) == 0
    assert said_before == [1, 1]


def test_a_model_is_loaded_once_for_all_images(
    model: Path, images: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []
    load = open_predictor
    monkeypatch.setattr(
        "MultiTaskSegLib.runtime.predictor.open_predictor",
        lambda path, device, **more: loads.append(path) or load(path, device, **more),
    )
    assert cli.main(["check", *map(str, images), "-m", str(model)]) == 0
    assert loads == [model]


def test_one_foreign_image_among_known_ones_is_enough_for_exit_code_3(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tiny_manifest()
    lenient = tmp_path / "lenient.mts.safetensors"
    tensors = reference_tensors(tiny_images(), tiny_reference())
    save_model(lenient, replace(manifest, ood=replace(manifest.ood, threshold=1e9)), tiny_network(), tensors)
    check = Predictor.check

    def foreign_if_mended(self: Predictor, volume: object, progress: object) -> object:
        return replace(check(self, volume), is_ood=volume.name == "mended.nrrd")

    monkeypatch.setattr(Predictor, "check", foreign_if_mended)
    good, mended = map(str, images)
    assert cli.main(["check", good, "-m", str(lenient), "--fail-on-ood"]) == 0
    assert cli.main(["check", good, mended, "-m", str(lenient), "--fail-on-ood"]) == 3
    assert cli.main(["check", mended, good, "-m", str(lenient), "--fail-on-ood"]) == 3


def test_the_p_value_is_printed_as_it_is(
    model: Path, images: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(images[0]), "-m", str(model), "--json"]) == 0
    p_value = json.loads(capsys.readouterr().out)[0]["ood"]["p_value"]
    assert p_value != pytest.approx(0.5)
    assert cli.main(["check", str(images[0]), "-m", str(model)]) == 0
    assert f"(p = {p_value:.3f})" in capsys.readouterr().out


def test_progress_is_shown_on_a_terminal_only_and_wiped_at_the_end(
    model: Path, images: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(images[0]), "-m", str(model)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["check", str(images[0]), "-m", str(model)]) == 0
    shown = capsys.readouterr().err
    assert " % network" in shown
    assert "\n" not in shown
    assert "\033" not in shown, "some terminals show escape sequences as they are"
    assert shown.endswith("\r" + " " * cli.LINE_CHARACTERS + "\r")


def test_json_keeps_letters_beyond_ascii(
    model: Path, images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "Lékař.nrrd"
    image.write_bytes(images[0].read_bytes())
    assert cli.main(["check", str(image), "-m", str(model), "--json"]) == 0
    assert "Lékař" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not allow such names")
@pytest.mark.parametrize("command", ["segment", "check"])
def test_the_name_of_a_file_cannot_move_the_cursor_of_a_terminal(
    model: Path, images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = tmp_path / "my  \033[2J results"
    # The second image has a voxel that is mended, which a warning says.
    for number, image in enumerate(images):
        named = tmp_path / f"{number}\033]0;owned\a\n.nrrd"
        named.write_bytes(image.read_bytes())
        folder = ["-o", str(out)] if command == "segment" else []
        assert cli.main([command, str(named), "-m", str(model), *folder]) == 0
        said = capsys.readouterr()
        assert f"{number}?]0;owned??.nrrd: " in said.out
        assert (said.out + said.err).replace("\n", "").isprintable()
        assert command == "check" or "my  ?[2J results" in said.out


def test_what_a_model_file_says_begins_no_line_and_moves_no_cursor(
    images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, spoof, lines = tmp_path / "odd.mts.safetensors", "\nverdict: known\u202e", []
    for name in ("part", f"part{spoof}"):
        manifest = tiny_manifest()
        labels = [replace(own, name=f"{name}{own.value}", display_name=name) for own in manifest.tasks[0].labels]
        tasks = (replace(manifest.tasks[0], labels=tuple(labels)), *manifest.tasks[1:])
        save_model(
            model, replace(manifest, tasks=tasks), tiny_network(), reference_tensors(tiny_images(), tiny_reference())
        )
        wanted = ["-m", str(model), "--task", tasks[0].name, "-o", str(tmp_path / "out")]
        assert cli.main(["segment", str(images[0]), *wanted]) == 0
        said = capsys.readouterr().out
        assert said.replace("\n", "").isprintable()
        lines.append(said.splitlines())
    assert len(lines[0]) == len(lines[1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not allow such names")
def test_the_name_of_a_model_file_begins_no_line_of_the_list(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my\033[2J models"
    folder.mkdir()
    (folder / "a\nmr3d (released)\u202e.mts.safetensors").write_bytes(model.read_bytes())
    monkeypatch.setenv("MULTITASKSEG_MODELS", str(folder))
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    assert "a?mr3d (released)? (your own" in said


@pytest.mark.parametrize("error", [OSError(28, "no room", "a\033[2J\u202eb"), ValueError("a\033[2J\u202eb")])
def test_no_refusal_of_the_system_and_no_unexpected_error_moves_the_cursor(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_models", refuse)
    assert cli.main(["models"]) == cli.EXIT_REFUSED
    assert "a?[2J?b" in capsys.readouterr().err


def test_json_on_a_terminal_moves_no_cursor_and_holds_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(map(chr, (*range(32), *range(127, 160), 0x202E, 0x2066, 0x2028))) + "Lékař"
    cli._print_json([text])
    shown = capsys.readouterr().out
    assert json.loads(shown) == [text]
    assert shown.replace("\n", "").isprintable()


def watched(folder: Path, code: str, *arguments: str) -> str:
    """Run Python code with every connection forbidden; return those that were tried."""
    (folder / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    connections = folder / "connections"
    connections.write_text("")
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "CONNECTIONS": str(connections)}
    subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return connections.read_text()


def test_segment_check_and_info_open_no_connection(model: Path, images: tuple[Path, Path], tmp_path: Path) -> None:
    commands = [
        ["segment", str(images[0]), "-m", str(model), "-o", str(tmp_path / "out")],
        ["check", str(images[0]), "-m", str(model)],
        ["check", str(images[0]), "-m", str(model), "--map", str(tmp_path / "maps")],
        ["info", str(model)],
    ]
    assert watched(tmp_path, RUN_ALL, json.dumps(commands)) == ""
    assert (tmp_path / "out" / "report.json").is_file()


def test_a_connection_would_be_noticed_although_the_program_hides_it(tmp_path: Path) -> None:
    assert "socket.getaddrinfo" in watched(tmp_path, CONNECT)
