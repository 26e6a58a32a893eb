"""The whole matrix on tiny data: done once, resumed, reported, published; no patient seen before it is measured on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.transfer.tiny_matrix import SELF_SUPERVISED, write_config, write_data
from trainer.cli import main
from trainer.data.case_cache import ENDING
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Provenance
from trainer.experiment.run import make_jobs
from trainer.transfer.design import held_out_groups, make_runs
from trainer.transfer.publication import publish
from trainer.transfer.settings import read_transfer


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished experiment and what it found."""
    folder = tmp_path_factory.mktemp("transfer")
    write_data(folder / "data")
    config = write_config(folder / "transfer.toml", sources=SELF_SUPERVISED)
    status = main(["transfer", "--config", str(config), "-o", str(folder / "out"), "--publish", str(folder / "docs")])
    found = json.loads((folder / "out" / "metrics.json").read_text())
    # The reason of a run that failed, not only that one did.
    assert (status, found["failures"]) == (0, {})
    return folder, found


def test_every_source_is_measured_on_the_target_with_every_seed(done: tuple[Path, dict[str, Any]]):
    rows = {row["source"]: row for row in done[1]["targets"][0]["rows"]}
    assert list(rows) == ["scratch", "flair-seg", "photo-class", "us-self"]
    for row in rows.values():
        assert row["dice"]["count"] == 2
        assert set(row["dice_by_seed"]) == {"0", "1"}
        for seed in ("0", "1"):
            gain = row["dice_by_seed"][seed] - rows["scratch"]["dice_by_seed"][seed]
            assert row["gain_by_seed"][seed] == pytest.approx(gain)
    assert [row["matched"] for row in rows.values()] == [False, True, False, False]


def test_the_report_shows_map_curves_scatter_and_verdict(done: tuple[Path, dict[str, Any]]):
    page = (done[0] / "out" / "report.html").read_text()
    assert page.count("<img ") == 3
    assert "segmentation in the same domain" in page
    assert "Foreseen without training" in page


def test_every_predictor_is_there_for_every_source(done: tuple[Path, dict[str, Any]]):
    prediction = done[1]["prediction"]
    assert {pair["source"] for pair in prediction["pairs"]} == {"flair-seg", "photo-class", "us-self"}
    for pair in prediction["pairs"]:
        assert all(value is not None for value in pair["predictors"].values())
    assert set(prediction["predictors"]) == {"richness", "spectral", "histogram", "size", "cases", "segments"}


def test_the_published_file_has_command_commit_and_config_but_no_place_of_this_machine(
    done: tuple[Path, dict[str, Any]],
):
    folder = done[0]
    path = next((folder / "docs").glob("transfer-*-tiny-matrix.json"))
    published = json.loads(path.read_text())
    assert published["config"]["transfer"]["sources"][0]["name"] == "flair-seg"
    assert published["command"].startswith("transfer --config transfer.toml")
    assert "commit" in published
    assert str(folder) not in path.read_text()
    page = (folder / "docs" / "transfer.md").read_text()
    dice = published["targets"][0]["rows"][1]["dice"]["value"]
    assert f"{dice:.3f}" in page
    assert path.name in page
    pictures = sorted(picture.name for picture in (folder / "docs").glob("*.png"))
    assert pictures == [f"{path.stem}-{kind}.png" for kind in ("detection", "foreseen", "gains")]
    assert all(f"]({name})" in page for name in pictures)


def test_a_title_that_could_not_be_published_is_refused_before_anything_is_trained(
    done: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, found = done
    config = folder / "spelt_alike.toml"
    config.write_text((folder / "transfer.toml").read_text().replace(found["title"], f"{found['title']}!"))
    out = tmp_path / "out"
    assert main(["transfer", "--config", str(config), "-o", str(out), "--publish", str(folder / "docs")]) == 2
    assert f"{found['title']}! has the file name of another published study" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(UsageError, match="another published study"):
        publish(found | {"title": f"{found['title']}!"}, folder / "docs")


def test_the_same_command_trains_nothing_anew(done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    folder, found = done

    def never(*arguments: Any, **named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("trainer.transfer.steps.pretrain", never)
    monkeypatch.setattr("trainer.transfer.steps.finetune", never)
    config, out = folder / "transfer.toml", folder / "out"
    assert main(["transfer", "--config", str(config), "-o", str(out)]) == 0
    assert json.loads((out / "metrics.json").read_text())["targets"] == found["targets"]


def test_all_runs_share_one_prepared_copy_of_each_case_and_leave_no_checkpoint(done: tuple[Path, dict[str, Any]]):
    out = done[0] / "out"
    assert not list((out / "runs").rglob(f"*{ENDING}"))
    copies = [path.name for path in (out / "cache" / "Dataset001_LesionT1").glob(f"*{ENDING}")]
    # Eight cases: those that are trained on with labels, and those that are held out.
    assert len({name.partition(".")[0] for name in copies}) == len(copies) <= 8
    assert not list(out.rglob("checkpoint.pt"))


def test_no_source_has_seen_a_patient_on_whom_the_target_is_measured(done: tuple[Path, dict[str, Any]]):
    folder, _ = done
    plan = read_transfer(folder / "transfer.toml")
    target = read_dataset(plan.folder("Dataset001_LesionT1"))
    held_out = held_out_groups(target, plan.training)
    source = read_dataset(plan.folder("Dataset002_LesionFLAIR"))
    assert held_out & set(source.groups) == held_out
    runs = {run.name: run for run in make_runs(plan)}
    assert runs["pretrain-flair-seg-s0"].parameters["excluded_groups"] == [sorted(held_out)]
    assert runs["pretrain-us-self-s0"].parameters["excluded_groups"] == [[]]
    path = next((folder / "out" / "runs").glob("pretrain-flair-seg-s0.*")) / "model.mts.safetensors"
    manifest = read_manifest(path)[0]
    task = manifest.tasks[0]
    assert task.training_cases + task.held_out_cases == len(source.cases) - len(held_out)
    provenance = Provenance.of(manifest)
    assert not any(provenance.saw(group) for group in held_out)
    assert sum(provenance.saw(group) for group in source.groups) > 0


def test_fine_tuning_starts_from_the_source_and_uses_as_many_cases_as_said(done: tuple[Path, dict[str, Any]]):
    folder, _ = done
    runs = folder / "out" / "runs"
    pretrained = read_manifest(next(runs.glob("pretrain-flair-seg-s1.*")) / "model.mts.safetensors")
    tuned = read_manifest(next(runs.glob("finetune-lesion-from-flair-seg-s1.*")) / "model.mts.safetensors")[0]
    assert tuned.training["finetuning"]["sha256"] == pretrained[1]
    assert tuned.tasks[0].training_cases == 4
    scratch = read_manifest(next(runs.glob("finetune-lesion-from-scratch-s1.*")) / "model.mts.safetensors")[0]
    assert scratch.training["finetuning"]["model"] is None
    assert scratch.tasks[0].training_cases == 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_data(tmp_path / "data")
    return tmp_path


def jobs(folder: Path) -> dict[str, str]:
    """Digest by name of the runs of seed 0."""
    plan = read_transfer(write_config(folder / "t.toml", sources=SELF_SUPERVISED))
    made = make_jobs(make_runs(plan), folder / "runs")
    return {name: job.digest for name, job in made.items() if name.endswith("-s0")}


def invert(path: Path) -> None:
    """Exchange background and label, or dark and bright, without a trace in name, size and time."""
    state, image = path.stat(), sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.InvertIntensity(image, float(sitk.GetArrayViewFromImage(image).max())), str(path))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    "part, is_redone",
    [
        ("Dataset001_LesionT1/labelsTr", lambda name: not name.startswith("pretrain")),
        ("Dataset001_LesionT1/imagesTr", lambda name: not name.startswith("pretrain")),
        ("Dataset002_LesionFLAIR/labelsTr", lambda name: "flair-seg" in name),
        # A source without labels is the same whatever they are.
        ("Dataset003_DiscUS/labelsTr", lambda name: False),
        ("Dataset003_DiscUS/imagesTr", lambda name: "us-self" in name),
    ],
)
def test_runs_on_other_images_or_labels_are_other_runs(folder: Path, part: str, is_redone: Callable[[str], bool]):
    before = jobs(folder)
    assert jobs(folder) == before
    for path in (folder / "data" / part).iterdir():
        invert(path)
    after = jobs(folder)
    assert {name for name in before if after[name] != before[name]} == {name for name in before if is_redone(name)}


def test_a_class_that_was_renamed_makes_its_runs_anew(folder: Path):
    before = jobs(folder)
    (folder / "data" / "photos" / "dog").rename(folder / "data" / "photos" / "ape")
    after = jobs(folder)
    assert {name for name in before if after[name] != before[name]} == {n for n in before if "photo-class" in n}


def source(name: str, task: str, data: str) -> str:
    return f'\n[[transfer.sources]]\nname = "{name}"\ntask = "{task}"\ndomain = "x"\ndata = ["{data}"]\n'


def test_a_target_is_not_its_own_source(folder: Path):
    extra = source("itself", "segmentation", "Dataset001_LesionT1")
    plan = read_transfer(write_config(folder / "t.toml", sources=extra))
    names = [run.name for run in make_runs(plan)]
    assert "pretrain-itself-s0" in names
    assert not [name for name in names if "from-itself" in name]


@pytest.mark.parametrize(
    "task, data, words",
    [
        ("segmentation", "photos", "no masks"),
        ("segmentation", "Dataset009_Solid", "2-D and 3-D images are mixed"),
        ("classification", "lonely", "class dog has 1 image"),
        ("classification", "Dataset003_DiscUS", "fewer than two classes"),
        ("self-supervised", "nowhere", "missing"),
    ],
)
def test_a_bad_source_is_refused_before_any_training_starts(folder: Path, task: str, data: str, words: str):
    BallDataset("Dataset009_Solid", patients=4).write(folder / "data")
    lonely = folder / "data" / "lonely"
    (folder / "data" / "photos").rename(lonely) if data == "lonely" else None
    if data == "lonely":
        for path in sorted((lonely / "dog").iterdir())[1:]:
            path.unlink()
        (folder / "data" / "photos").symlink_to(folder / "data" / "none", target_is_directory=True)
    config = write_config(folder / "t.toml", sources=source("bad", task, data))
    if data == "lonely":
        config.write_text(config.read_text().replace('data = ["photos"]', 'data = ["lonely"]'))
    with pytest.raises(DatasetError, match=words):
        make_runs(read_transfer(config))


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("seeds = [0, 1]", "seeds = [1, 1]", "seed is given twice"),
        ('name = "photo-class"', 'name = "flair-seg"', "names are equal"),
        ('name = "lesion"', 'name = "a b"', "no name"),
        ('name = "lesion"', 'name = "scratch"', "scratch"),
        ("pretrain_steps = 3", "pretrain_steps = 0", "positive"),
        ('task = "classification"', 'task = "guessing"', "guessing"),
        ('domain = "natural images"\n', "", "domain is missing"),
        ("lesions = true", "lesion = true", "unknown key"),
        ("seeds = [0, 1]", "seeds = []", "one entry each"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(folder: Path, old: str, new: str, words: str):
    path = write_config(folder / "t.toml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UsageError, match=words):
        read_transfer(path)


def test_the_strategy_is_that_of_all_sources_and_random_weights_are_never_frozen(folder: Path):
    path = write_config(folder / "t.toml")
    path.write_text(path.read_text().replace("seeds =", 'strategy = "frozen-encoder"\nseeds ='))
    strategies = {r.name: r.parameters.get("strategy") for r in make_runs(read_transfer(path)) if "finetune" in r.name}
    assert strategies.pop("finetune-lesion-from-scratch-s0") == "all"
    assert strategies.pop("finetune-lesion-from-scratch-s1") == "all"
    assert set(strategies.values()) == {"frozen-encoder"}


def test_too_many_labelled_cases_are_refused_with_the_number_there_is(folder: Path):
    path = write_config(folder / "t.toml")
    path.write_text(path.read_text().replace("labelled_cases = 4", "labelled_cases = 7"))
    with pytest.raises(DatasetError, match="has 6 training cases, not 7"):
        make_runs(read_transfer(path))


def test_the_shipped_experiments_are_valid(repository: Path):
    files = sorted((repository / "trainer" / "configs" / "transfer").glob("*.toml"))
    assert files
    for file in files:
        assert len(read_transfer(file).settings.seeds) >= 3
