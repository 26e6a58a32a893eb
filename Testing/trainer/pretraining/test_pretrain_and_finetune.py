"""From images to a pre-trained model file, from there to a segmenting one; and what is refused before any training."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.pretraining.tiny_run import BALLS, CONFIG
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import read_dataset
from trainer.data.image_source import ImageSource, read_image_source, without_labels
from trainer.pretraining import pretrain as pretrain_module
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.pretraining.finetune import finetune, start_from
from trainer.pretraining.pretext.catalogue import PRETEXTS
from trainer.pretraining.pretext_companion import ImagePool, ViewBatches, pretext_companions
from trainer.pretraining.pretrain import category_numbers, pretrain
from trainer.refitting.recalibration import refit_calibration
from trainer.report.run_folder import RunFolder
from trainer.training import training
from trainer.training.optimization import Optimization
from trainer.training.recipe import Recipe
from trainer.training.training import Budget, PreparedData, prepare_data, train

DIMENSIONS = pytest.mark.parametrize("dimension", list(BALLS))


@DIMENSIONS
def test_a_model_pretrained_without_labels_knows_images_but_segments_nothing(
    dimension: str, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> None:
    predictor = Predictor.load(tiny_models[dimension], "cpu")
    manifest = predictor.manifest
    assert manifest.training["pretraining"]["pretexts"] == list(PRETEXTS)
    assert not manifest.has_labels
    assert "nothing is segmented" in model_card(manifest, "x")
    volume = read_image(read_dataset(tiny_data[dimension]).cases[0].image)
    verdict = predictor.check(volume)
    assert verdict.nearest_task == BALLS[dimension].name
    with pytest.raises(ModelError, match="segments nothing"):
        predictor.segment(volume)
    with pytest.raises(ModelError, match="segments nothing"):
        refit_calibration(tiny_models[dimension], [tiny_data[dimension]], Path("never.mts.safetensors"))


@DIMENSIONS
def test_labels_are_never_looked_at_in_pretraining(
    dimension: str, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / tiny_data[dimension].name
    shutil.copytree(tiny_data[dimension], folder)
    shutil.rmtree(folder / "labelsTr")
    path = tmp_path / "unlabelled.mts.safetensors"
    pretrain([folder], path, "self-supervised", CONFIG, Budget(steps=4), stream=io.StringIO())
    ours, theirs = load_model(path).network.state_dict(), load_model(tiny_models[dimension]).network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@DIMENSIONS
def test_a_fine_tuned_model_segments_and_says_where_it_comes_from(
    dimension: str, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "tuned.mts.safetensors"
    data = [tiny_data[dimension]]
    manifest = finetune(
        tiny_models[dimension], data, path, replace(CONFIG, channels=()), Budget(steps=3), labelled_cases=3,
        stream=io.StringIO(),
    )  # fmt: skip
    source = load_model(tiny_models[dimension])
    assert manifest.training["finetuning"]["sha256"] == source.digest
    assert f"from the weights of {source.manifest.name} (SHA-256 {source.digest[:16]}" in model_card(manifest, "x")
    assert manifest.training["finetuning"]["pretraining"]["task"] == "self-supervised"
    assert manifest.tasks[0].training_cases == 3
    volume = read_image(read_dataset(data[0]).cases[0].image)
    assert Predictor.load(path, "cpu").segment(volume).labels.shape == volume.shape


@pytest.mark.parametrize("strategy", ["frozen-encoder", "last-layers", "gradual"])
def test_frozen_parts_do_not_change_at_all(
    strategy: str, tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "m.mts.safetensors")
    data = prepare_data([read_dataset(tiny_data["2-D"])], CONFIG, folder, io.StringIO())
    recipe, _ = start_from(tiny_models["2-D"], data.plan, strategy)  # type: ignore[arg-type]
    optimization = Optimization(data.plan, CONFIG, torch.device("cpu"), recipe)
    before = {name: p.detach().clone() for name, p in optimization.network.named_parameters()}
    batch = training.PatchGroups(data.plan.tasks, data.training, CONFIG)
    for step in range(2):
        optimization.train_step([batch[step]], 0.0)
    assert recipe.frozen is not None
    frozen = recipe.frozen(0.0)
    moved = {name for name, p in optimization.network.named_parameters() if not torch.equal(p, before[name])}
    assert {n for n in before if n.startswith("encoder.0.")} & moved == set()
    assert moved == {name for name in before if not name.startswith(frozen)}


def test_a_model_that_is_trained_on_with_its_own_tasks_keeps_its_head_and_another_does_not(
    tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "source.mts.safetensors"
    pretrain([tiny_data["2-D"]], path, "segmentation", CONFIG, Budget(steps=3), stream=io.StringIO())
    data = prepare_data(
        [read_dataset(tiny_data["2-D"])], CONFIG, RunFolder(tmp_path / "m.mts.safetensors"), io.StringIO()
    )
    own, said = start_from(path, data.plan)
    assert said["finetuning"]["head"]
    assert own.weights is not None
    torch.testing.assert_close(own.weights["head.weight"], load_model(path).network.head.weight.data)
    task = replace(data.plan.tasks[0], label_names=tuple(f"{name}2" for name in data.plan.tasks[0].label_names))
    other, said = start_from(path, replace(data.plan, tasks=(task,)))
    assert not said["finetuning"]["head"]
    assert other.weights is not None
    assert "head.weight" not in other.weights
    encoder, _ = start_from(path, data.plan, scope="encoder")
    assert encoder.weights is not None
    assert "head.weight" not in encoder.weights


@pytest.mark.parametrize(
    "pretexts, rescaled", [(["denoising", "contrastive"], False), (["contrastive"], True), ([], False)]
)
def test_pretext_tasks_share_the_weight_of_one_alike_over_the_whole_run(
    pretexts: list[str], rescaled: bool, tiny_data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[Recipe] = []
    monkeypatch.setattr(pretrain_module, "train_prepared", lambda *given, recipe, **others: recipes.append(recipe))
    path = tmp_path / "m.mts.safetensors"
    auxiliary = AuxiliaryConfig(weight=0.3, schedule="linear", images_per_step=3)
    pretrain(
        [tiny_data["2-D"]], path, "self-supervised", CONFIG, Budget(steps=1), pretexts=pretexts, auxiliary=auxiliary,
        stream=io.StringIO(),
    )  # fmt: skip
    (recipe,) = recipes
    count = len(pretexts) or 5
    weights = {companion.weight(share) for companion in recipe.companions for share in (0.0, 0.5, 1.0)}
    assert weights == {1 / count}
    assert len(recipe.companions) == count
    assert not recipe.supervised
    assert {len(companion.batches[0].inputs) % 3 for companion in recipe.companions} == {0}
    # Only an encoder that was trained without its decoder is rescaled.
    assert (recipe.finish is not None) is rescaled


def test_the_segmentation_source_is_ordinary_training(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "source.mts.safetensors"
    manifest = pretrain([tiny_data["2-D"]], path, "segmentation", CONFIG, Budget(steps=3), stream=io.StringIO())
    assert manifest.has_labels
    assert manifest.training["pretraining"] == {"task": "segmentation"}


def test_datasets_are_the_classes_of_images_without_class(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    other = BallDataset("Dataset007_Holes", shape=(1, 16, 16), patients=6, contrast=-80.0).write(tmp_path)
    path = tmp_path / "classes.mts.safetensors"
    data = [tiny_data["2-D"], other]
    manifest = pretrain(data, path, "classification", CONFIG, Budget(steps=3), stream=io.StringIO())
    assert manifest.training["pretraining"]["classes"] == ["Dataset005_Discs", "Dataset007_Holes"]
    assert not manifest.has_labels


def test_classes_need_company(tiny_data: dict[str, Path]) -> None:
    source = read_image_source(tiny_data["2-D"])
    with pytest.raises(DatasetError, match="fewer than two classes"):
        category_numbers([source])
    names = [case.name for case in source.dataset.cases]
    kinds = {name: "a" if i else "b" for i, name in enumerate(names)}
    with pytest.raises(DatasetError, match="class b has one image"):
        category_numbers([ImageSource(source.dataset, kinds)])
    numbers, classes = category_numbers([ImageSource(source.dataset, kinds | {names[1]: "b"})])
    assert classes == ("a", "b")
    assert [numbers[0][name] for name in names[:3]] == [1, 1, 0]


def test_a_folder_of_images_is_a_source(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    for number, path in enumerate(sorted((tiny_data["2-D"] / "imagesTr").iterdir())):
        shutil.copy(path, tmp_path / "pictures" / ("deep" if number % 2 else "") / f"p{number}.nii.gz")
    (tmp_path / "pictures" / "._p0.nii.gz").write_bytes(b"companion of macOS")
    source = read_image_source(tmp_path / "pictures")
    assert [case.name for case in source.dataset.cases][:2] == ["deep__p1", "deep__p3"]
    assert {case.label for case in source.dataset.cases} == {None}
    assert len(source.dataset.cases) == BALLS["2-D"].patients
    path = tmp_path / "m.mts.safetensors"
    pretrain([tmp_path / "pictures"], path, "self-supervised", CONFIG, Budget(steps=2), stream=io.StringIO())
    with pytest.raises(DatasetError, match="no image"):
        read_image_source(path.with_name("m.run"))


def test_class_folders_give_the_classes(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    for number, path in enumerate(sorted((tiny_data["2-D"] / "imagesTr").iterdir())):
        folder = tmp_path / "kinds" / ("odd" if number % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"p{number}.nii.gz")
    source = read_image_source(tmp_path / "kinds")
    assert source.categories["odd__p1"] == "odd"
    assert sorted(set(source.categories.values())) == ["even", "odd"]
    path = tmp_path / "m.mts.safetensors"
    manifest = pretrain([tmp_path / "kinds"], path, "classification", CONFIG, Budget(steps=2), stream=io.StringIO())
    assert manifest.training["pretraining"]["classes"] == ["even", "odd"]


def prepared(directory: Path, folder: Path) -> PreparedData:
    return prepare_data([read_dataset(directory)], CONFIG, RunFolder(folder / "m.mts.safetensors"), io.StringIO())


def test_batches_of_views_do_not_depend_on_labels(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    labelled = prepared(tiny_data["2-D"], tmp_path / "a")
    bare = without_labels(read_dataset(tiny_data["2-D"]))
    unlabelled = prepare_data([bare], CONFIG, RunFolder(tmp_path / "b" / "m.mts.safetensors"), io.StringIO())
    for task in PRETEXTS.values():
        batches = [
            ViewBatches(ImagePool(d.plan.tasks, d.training), task, CONFIG, d.plan.architecture, 4)
            for d in (labelled, unlabelled)
        ]
        assert torch.equal(batches[0][5].inputs, batches[1][5].inputs)
        assert not torch.equal(batches[0][5].inputs, batches[0][6].inputs)


def test_no_image_is_twice_in_a_batch(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    data = prepared(tiny_data["2-D"], tmp_path)
    pool = ImagePool(data.plan.tasks, data.training)
    task = PRETEXTS["contrastive"]
    batches = ViewBatches(pool, task, CONFIG, data.plan.architecture, 99)
    assert len(batches[0].inputs) == 2 * len(data.training[0])
    few = ImagePool(data.plan.tasks, (data.training[0][:1],))
    with pytest.raises(DatasetError, match="fewer than two images"):
        ViewBatches(few, task, CONFIG, data.plan.architecture, 8)


def joint_run(
    data: PreparedData, folder: RunFolder, resume: bool = False, weight: float = 0.5, steps: int = 5
) -> Optimization:
    pool = ImagePool(data.plan.tasks, data.training)
    companions = pretext_companions(
        list(PRETEXTS.values()), pool, CONFIG, data.plan.architecture, 3, lambda progress: weight
    )
    recipe = Recipe(companions=companions, identity={"companions": sorted(PRETEXTS)})
    device = torch.device("cpu")
    return train(
        data, CONFIG, Budget(steps=steps), folder, resume=resume, device=device, stream=io.StringIO(), recipe=recipe
    )


def weights_of(optimization: Optimization) -> dict[str, torch.Tensor]:
    return optimization.network.state_dict() | optimization.companion_heads.state_dict()


def test_a_joint_run_that_was_cut_equals_a_whole_one_to_the_bit(
    tiny_data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(tiny_data["2-D"], tmp_path)
    whole = joint_run(data, RunFolder(tmp_path / "whole.mts.safetensors"))
    folder = RunFolder(tmp_path / "cut.mts.safetensors")
    plain = Optimization.train_step

    def until_power_goes(self: Optimization, *arguments: object) -> dict[str, float]:
        if self.step == 3:
            raise RuntimeError("power cut")
        return plain(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)
        context.setattr(Optimization, "train_step", until_power_goes)
        with pytest.raises(RuntimeError, match="power cut"):
            joint_run(data, folder)
    resumed = joint_run(data, folder, resume=True)
    ours, theirs = weights_of(whole), weights_of(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_companions_of_weight_0_leave_segmentation_as_it_is(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    data = prepared(tiny_data["2-D"], tmp_path)
    device = torch.device("cpu")
    folder = RunFolder(tmp_path / "plain.mts.safetensors")
    plain = train(data, CONFIG, Budget(steps=3), folder, resume=False, device=device, stream=io.StringIO())
    none = joint_run(data, RunFolder(tmp_path / "none.mts.safetensors"), weight=0.0, steps=3)
    some = joint_run(data, RunFolder(tmp_path / "some.mts.safetensors"), weight=0.5, steps=3)
    reference = plain.network.state_dict()
    assert all(torch.equal(none.network.state_dict()[name], reference[name]) for name in reference)
    assert any(not torch.equal(some.network.state_dict()[name], reference[name]) for name in reference)


def test_a_checkpoint_of_another_recipe_is_refused(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    data = prepared(tiny_data["2-D"], tmp_path)
    folder = RunFolder(tmp_path / "m.mts.safetensors")
    device = torch.device("cpu")
    train(data, CONFIG, Budget(steps=2), folder, resume=False, device=device, stream=io.StringIO())
    with pytest.raises(ModelError, match="other data or settings"):
        joint_run(data, folder, resume=True)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda d, o: pretrain([d], o, "tracing", CONFIG, Budget(1)), UsageError, "source task"),
        (lambda d, o: pretrain([d], o, "self-supervised", CONFIG, Budget(1), pretexts=["x"]), UsageError, "'x'"),
        (lambda d, o: pretrain([d], o, "segmentation", CONFIG, Budget(1), pretexts=["denoising"]), UsageError, "part"),
        (lambda d, o: pretrain([d], o.with_name("m.pt"), "segmentation", CONFIG, Budget(1)), UsageError, "must end"),
        (lambda d, o: pretrain([d], o, "classification", CONFIG, Budget(1)), DatasetError, "two classes"),
        (lambda d, o: finetune(None, [d], o, CONFIG, Budget(1), labelled_cases=99), DatasetError, "99 labelled"),
        (lambda d, o: finetune(None, [d], o, CONFIG, Budget(1), labelled_cases=1), DatasetError, "fewer than two"),
        (lambda d, o: finetune(None, [d], o, CONFIG, Budget(1), labelled_cases=["no"]), DatasetError, "case no"),
        (lambda d, o: finetune(o, [d], o, CONFIG, Budget(1)), ModelError, "no such model"),
    ],
)
def test_bad_input_is_refused_before_any_training(
    call: Callable[[Path, Path], object],
    error: type[Exception],
    message: str,
    tiny_data: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Optimization, "train_step", None)
    with pytest.raises(error, match=message):
        call(tiny_data["2-D"], tmp_path / "m.mts.safetensors")


def test_a_model_of_the_other_dimension_is_refused(
    tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Optimization, "train_step", None)
    for have, need in (("2-D", "3-D"), ("3-D", "2-D")):
        with pytest.raises(ModelError, match=f"is {have}, the data are {need}"):
            finetune(
                tiny_models[have], [tiny_data[need]], tmp_path / "m.mts.safetensors", CONFIG, Budget(steps=1),
                stream=io.StringIO(),
            )  # fmt: skip


def test_fewer_labelled_cases_are_among_more(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    def chosen(count: int, seed: int) -> set[str]:
        config = replace(CONFIG, seed=seed)
        folder = RunFolder(tmp_path / "m.mts.safetensors")
        data = prepare_data([read_dataset(tiny_data["2-D"])], config, folder, io.StringIO(), count)
        return {case.case.name for case in data.training[0]}

    assert chosen(2, 0) < chosen(4, 0)
    assert any(chosen(4, seed) != chosen(4, 0) for seed in (1, 2, 3))


def test_the_run_folder_tells_the_loss_of_every_companion(tiny_data: dict[str, Path], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "m.mts.safetensors")
    joint_run(prepared(tiny_data["2-D"], tmp_path), folder, steps=20)
    record = json.loads(folder.steps.read_text(encoding="utf-8").splitlines()[0])
    assert set(PRETEXTS) <= set(record)
    assert all(np.isfinite(record[name]) for name in PRETEXTS)
