"""Results folders and exported zip files of nnU-Net: what is found, what fits, and what is refused in words."""

from __future__ import annotations

import json
import zipfile
from copy import deepcopy
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from torch.nn import functional

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues
from MultiTaskSegLib.runtime.nnunet.plans import model_plan
from MultiTaskSegLib.runtime.nnunet.preparation_plan import Normalisation, Resampling
from MultiTaskSegLib.runtime.nnunet.results_source import ResultsFolder, results_source
from MultiTaskSegLib.runtime.nnunet.structures import structures_of
from MultiTaskSegLib.runtime.nnunet.trained_model import LoadedModel, load_trained_model, trained_models
from MultiTaskSegLib.runtime.nnunet.unet_plan import UnetPlan
from Testing.runtime.nnunet.checkpoint_bytes import (
    CONFIGURATION,
    DATASET,
    PLANS,
    checkpoint_content,
    nnunet_weights,
    saved_checkpoint,
    written_results,
)


def changed(table: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy with entries replaced; None takes an entry away."""
    copy = {**deepcopy(table), **changes}
    return {key: value for key, value in copy.items() if value is not None}


def plans_with(**changes: Any) -> dict[str, Any]:
    return changed(PLANS, configurations={"3d_fullres": changed(CONFIGURATION, **changes)})


def arch(**changes: Any) -> dict[str, Any]:
    architecture = CONFIGURATION["architecture"]
    return {**architecture, "arch_kwargs": {**architecture["arch_kwargs"], **changes}}


def loaded(path: Path, *folds: str) -> LoadedModel:
    source = results_source(path)
    (model,) = trained_models(source)
    return load_trained_model(source, model, folds)


def a_checkpoint(seed: int = 0, plans: dict[str, Any] | None = None, **changes: Any) -> bytes:
    started = checkpoint_content()["init_args"] | ({} if plans is None else {"plans": plans})
    return saved_checkpoint(checkpoint_content(nnunet_weights(seed), init_args=started, **changes))


def test_a_folder_above_names_every_model_with_its_folds(tmp_path: Path) -> None:
    written_results(tmp_path / "Dataset900_Tiny", {"1": b"", "0": b"", "all": b""})
    written_results(tmp_path / "Dataset900_Tiny", {"0": b""}, name="nnUNetTrainer__nnUNetResEncUNetMPlans__2d")
    written_results(tmp_path / "Dataset901_Other", {}, name="nnUNetTrainer__nnUNetPlans__2d")
    found = trained_models(results_source(tmp_path))
    plain, residual = found
    assert plain.place.as_posix() == "Dataset900_Tiny/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert (plain.trainer, plain.plans, plain.configuration) == ("nnUNetTrainer", "nnUNetPlans", "3d_fullres")
    assert plain.folds == ("0", "1", "all")
    assert (residual.plans, residual.configuration, residual.folds) == ("nnUNetResEncUNetMPlans", "2d", ("0",))


def test_the_final_checkpoint_comes_before_the_best_one(tmp_path: Path) -> None:
    place = written_results(tmp_path, {"0": b"", "1": b""})
    (place / "fold_0" / "checkpoint_best.pth").write_bytes(b"")
    (place / "fold_1" / "checkpoint_final.pth").rename(place / "fold_1" / "checkpoint_best.pth")
    (model,) = trained_models(results_source(place))
    assert [name.as_posix() for name in model.checkpoints.values()] == [
        "fold_0/checkpoint_final.pth", "fold_1/checkpoint_best.pth",
    ]  # fmt: skip


def test_a_model_is_read_whole_from_a_folder_and_from_its_zip_file(tmp_path: Path) -> None:
    place = written_results(tmp_path / "r", {"0": a_checkpoint(0), "1": a_checkpoint(1)})
    packed = tmp_path / "model.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(place.rglob("*.*")):
            archive.write(file, f"Dataset900_Tiny/{file.relative_to(tmp_path / 'r')}")
    image = torch.randn((1, 1, 8, 16, 16), generator=torch.Generator().manual_seed(3))
    for path in (place, packed):
        model = loaded(path)
        assert model.plan.dataset == "Dataset900_Tiny"
        assert model.plan.preparation.spacing_mm == (2.0, 1.0, 1.0)
        assert model.plan.preparation.images == Resampling("spline", 3, 0, None)
        assert [fold.fold for fold in model.folds] == ["0", "1"]
        for fold, seed in zip(model.folds, (0, 1), strict=True):
            torch.testing.assert_close(fold.network(image), by_hand(nnunet_weights(seed), image))


def by_hand(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """The network of `CONFIGURATION`, written down step by step from nnU-Net's description."""

    def block(name: str, maps: torch.Tensor, stride: tuple[int, int, int] = (1, 1, 1)) -> torch.Tensor:
        kernel = weights[f"{name}.conv.weight"]
        padding = [size // 2 for size in kernel.shape[2:]]
        maps = functional.conv3d(maps, kernel, weights[f"{name}.conv.bias"], stride, padding)
        mean, variance = maps.mean((2, 3, 4), keepdim=True), maps.var((2, 3, 4), unbiased=False, keepdim=True)
        scale, shift = (weights[f"{name}.norm.{kind}"].reshape(-1, 1, 1, 1) for kind in ("weight", "bias"))
        maps = (maps - mean) / torch.sqrt(variance + 1e-5) * scale + shift
        return torch.where(maps > 0, maps, 0.01 * maps)

    first = block("encoder.stages.0.0.convs.1", block("encoder.stages.0.0.convs.0", image))
    second = block("encoder.stages.1.0.convs.0", first, (1, 2, 2))
    low = block("encoder.stages.2.0.convs.1", block("encoder.stages.2.0.convs.0", second, (2, 2, 2)))
    for number, (skip, step, count) in enumerate(((second, (2, 2, 2), 1), (first, (1, 2, 2), 2))):
        up = f"decoder.transpconvs.{number}"
        low = functional.conv_transpose3d(low, weights[f"{up}.weight"], weights[f"{up}.bias"], step)
        low = torch.cat((low, skip), 1)
        for convolution in range(count):
            low = block(f"decoder.stages.{number}.convs.{convolution}", low)
    return functional.conv3d(low, weights["decoder.seg_layers.1.weight"], weights["decoder.seg_layers.1.bias"])


def test_folds_are_chosen_by_name_and_all_is_taken_only_where_it_is_alone(tmp_path: Path) -> None:
    both = written_results(tmp_path / "a", {"0": a_checkpoint(), "all": a_checkpoint()})
    assert [fold.fold for fold in loaded(both).folds] == ["0"]
    assert [fold.fold for fold in loaded(both, "all").folds] == ["all"]
    alone = written_results(tmp_path / "b", {"all": a_checkpoint()})
    assert [fold.fold for fold in loaded(alone).folds] == ["all"]
    with pytest.raises(UsageError, match="no fold 3"):
        loaded(both, "3")


def test_a_renamed_folder_is_known_by_its_checkpoint(tmp_path: Path) -> None:
    model = loaded(written_results(tmp_path, {"0": a_checkpoint()}, name="my model"))
    assert (model.plan.configuration, model.trainer) == ("3d_fullres", "nnUNetTrainer")


def test_folds_of_different_trainings_are_not_averaged(tmp_path: Path) -> None:
    other = a_checkpoint(1, trainer_name="nnUNetTrainerNoMirroring")
    with pytest.raises(ModelError, match="different trainings"):
        loaded(written_results(tmp_path, {"0": a_checkpoint(), "1": other}))


def test_plans_of_another_training_are_noticed(tmp_path: Path) -> None:
    plans = plans_with(spacing=[2.0, 1.0, 1.5])
    with pytest.raises(ModelError, match=r"plans\.json is not that of the training"):
        loaded(written_results(tmp_path, {"0": a_checkpoint()}, plans=plans))


def test_intensities_of_another_training_are_noticed(tmp_path: Path) -> None:
    key = "foreground_intensity_properties_per_channel"
    own, other = (PLANS | {key: {"0": {"mean": mean}}} for mean in (90.0, 10.0))
    with pytest.raises(ModelError, match=f"{key} differs"):
        loaded(written_results(tmp_path, {"0": a_checkpoint(plans=own)}, plans=other))


def test_mirroring_along_an_axis_that_patches_do_not_have_is_refused(tmp_path: Path) -> None:
    planar = changed(CONFIGURATION, patch_size=[16, 16], spacing=[1.0, 1.0])
    two = {"kernel_sizes": [[3, 3]] * 3, "strides": [[1, 1], [2, 2], [2, 2]]}
    operations = {
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
    }
    plans = changed(PLANS, configurations={"3d_fullres": planar | {"architecture": arch(**two, **operations)}})
    weights = {key: tensor.select(2, 0) if tensor.ndim == 5 else tensor for key, tensor in nnunet_weights().items()}
    started = checkpoint_content()["init_args"] | {"plans": plans}
    for axes, is_refused in (((0, 1), False), ((0, 1, 2), True)):
        saved = checkpoint_content(weights, init_args=started, inference_allowed_mirroring_axes=axes)
        place = written_results(tmp_path / str(len(axes)), {"0": saved_checkpoint(saved)}, plans=plans)
        if is_refused:
            with pytest.raises(ModelError, match="an axis that its patches do not have"):
                loaded(place)
        else:
            assert loaded(place).mirror_axes == axes


def test_what_does_not_change_a_result_may_differ_between_both_plans(tmp_path: Path) -> None:
    plans = plans_with(batch_size=7, data_identifier="elsewhere")
    assert loaded(written_results(tmp_path, {"0": a_checkpoint()}, plans=plans)).plan.plans == "nnUNetPlans"


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"decoder.seg_layers.1.weight": torch.zeros(4, 4, 1, 1, 1)}, "is 4 x 4 x 1 x 1 x 1 and should be 3 x 4"),
        ({"encoder.stages.0.0.convs.0.norm.running_mean": torch.zeros(4)}, "running_mean is 4 and should be missing"),
        ({"encoder.stages.0.0.convs.0.conv.bias": torch.full((4,), torch.nan)}, "not finite"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, weights: dict[str, Any], words: str) -> None:
    content = saved_checkpoint(checkpoint_content(nnunet_weights() | weights))
    with pytest.raises(ModelError, match=words):
        loaded(written_results(tmp_path, {"0": content}))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    weights = nnunet_weights()
    del weights["decoder.transpconvs.0.bias"]
    content = saved_checkpoint(checkpoint_content(weights))
    with pytest.raises(ModelError, match=r"decoder\.transpconvs\.0\.bias is missing and should be 8"):
        loaded(written_results(tmp_path, {"0": content}))


OLD = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 8,
    "n_conv_per_stage_encoder": [2, 1, 2],
    "n_conv_per_stage_decoder": [1, 2],
    "num_pool_per_axis": [1, 2, 2],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
}


def test_the_old_format_of_plans_means_the_same_network() -> None:
    old, new = plans_with(architecture=None, **OLD), PLANS
    both = [model_plan(PlanValues(p, "", "p"), PlanValues(DATASET, "", "d"), "3d_fullres").network for p in (old, new)]
    assert both[0] == both[1]


def test_a_configuration_has_what_it_inherits(tmp_path: Path) -> None:
    child = {"inherits_from": "3d_fullres", "spacing": [4.0, 2.0, 2.0]}
    plans = changed(PLANS, configurations={"3d_fullres": CONFIGURATION, "3d_lowres": child})
    found = model_plan(PlanValues(plans, "", "p"), PlanValues(DATASET, "", "d"), "3d_lowres")
    assert found.preparation.spacing_mm == (4.0, 2.0, 2.0)
    assert found.preparation.patch == (16, 16, 16)


def test_a_residual_network_is_planned_from_its_blocks() -> None:
    name = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
    kwargs = dict(arch()["arch_kwargs"], n_blocks_per_stage=[1, 3, 4])
    del kwargs["n_conv_per_stage"]
    plans = plans_with(architecture={"network_class_name": name, "arch_kwargs": kwargs})
    network: UnetPlan = model_plan(PlanValues(plans, "", "p"), PlanValues(DATASET, "", "d"), "3d_fullres").network
    assert (network.kind, network.blocks) == ("residual", (1, 3, 4))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another network": ({"architecture": arch() | {"network_class_name": "os.system"}}, "is 'os.system'"),
    "a norm of batches": ({"architecture": arch(norm_op="torch.nn.modules.batchnorm.BatchNorm3d")}, "norm_op is"),
    "an unknown setting": ({"architecture": arch(nonlin_first=True)}, "not supported: nonlin_first"),
    "another activation": ({"architecture": arch(nonlin="torch.nn.ReLU")}, "nonlin is 'torch.nn.ReLU'"),
    "a norm without weights": ({"architecture": arch(norm_op_kwargs={"affine": False})}, "has no weights"),
    "lists of other lengths": ({"architecture": arch(strides=[[1, 1, 1]])}, "do not agree on the number of stages"),
    "an even kernel": ({"architecture": arch(kernel_sizes=[[2, 2, 2]] * 3)}, "even sizes"),
    "too many features": ({"architecture": arch(features_per_stage=[4, 8, 10**9])}, "no whole number of 1 to 4096"),
    "2-D in 3-D": ({"architecture": arch(conv_op="torch.nn.modules.conv.Conv2d")}, "3 dimensions"),
    "a cascade": ({"previous_stage": "3d_lowres"}, "second stage of a cascade"),
    "another preprocessor": ({"preprocessor_name": "MyPreprocessor"}, "preprocessor_name is 'MyPreprocessor'"),
    "another normalisation": ({"normalization_schemes": ["MyNorm"]}, "'MyNorm', which is not supported"),
    "a list of normalisations": ({"normalization_schemes": [["ZScoreNormalization"]]}, "which is not supported"),
    "too few normalisations": ({"normalization_schemes": []}, "one entry for each of 1 channels"),
    "a spacing of 0": ({"spacing": [0, 1, 1]}, "positive numbers"),
    "a spacing without a number": ({"spacing": [None, 1, 1]}, "positive numbers"),
    "a spacing of two": ({"spacing": [1, 1]}, "2 or 3 numbers"),
    "another resampler": ({"resampling_fn_data": "my_resampler"}, "'my_resampler', which is not supported"),
    "a patch that the strides do not divide": ({"patch_size": [16, 18, 16]}, r"multiple of the network's strides"),
    "a patch beyond memory": ({"patch_size": [4096] * 3}, "larger than any memory"),
    "a variance below 0": ({"architecture": arch(norm_op_kwargs={"affine": True, "eps": -1.0})}, "eps is not positive"),
    "an unknown way of resampling": (
        {"resampling_fn_data_kwargs": {"order": 3, "anti_aliasing": True}}, "not supported: anti_aliasing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_supported_is_refused_by_name(what: str) -> None:
    changes, words = REFUSED[what]
    with pytest.raises(ModelError, match=words):
        model_plan(PlanValues(plans_with(**changes), "", "p"), PlanValues(DATASET, "", "d"), "3d_fullres")


def test_a_configuration_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ModelError, match=r"2d is not there \(known: 3d_fullres\)"):
        model_plan(PlanValues(PLANS, "", "p"), PlanValues(DATASET, "", "d"), "2d")
    circle = changed(PLANS, configurations={"a": {"inherits_from": "b"}, "b": {"inherits_from": "a"}})
    with pytest.raises(ModelError, match="inherits from itself"):
        model_plan(PlanValues(circle, "", "p"), PlanValues(DATASET, "", "d"), "a")


def test_ct_is_normalised_by_the_numbers_of_its_channel_under_both_names() -> None:
    numbers = {"mean": 90.0, "std": 20.0, "percentile_00_5": -10.0, "percentile_99_5": 200.0, "min": -1.0, "max": 1.0}
    ct = {"normalization_schemes": ["CTNormalization"]}
    for key in ("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"):
        plans = plans_with(**ct) | {key: {"0": numbers}}
        found = model_plan(PlanValues(plans, "", "p"), PlanValues(DATASET, "", "d"), "3d_fullres")
        assert found.preparation.normalisations == (Normalisation("ct", False, 90.0, 20.0, -10.0, 200.0),)
    with pytest.raises(ModelError, match="is missing"):
        model_plan(PlanValues(plans_with(**ct), "", "p"), PlanValues(DATASET, "", "d"), "3d_fullres")


def test_regions_are_outputs_of_their_own_painted_in_their_order() -> None:
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "ignore": 4}
    found = structures_of(PlanValues(changed(DATASET, labels=labels, regions_class_order=[1, 2, 3]), "", "d"))
    assert found.are_regions
    assert found.outputs == 3
    assert [(s.name, s.values, s.painted) for s in found.entries] == [
        ("whole", (1, 2, 3), 1), ("core", (2, 3), 2), ("enhancing", (3,), 3),
    ]  # fmt: skip


def test_labels_are_outputs_after_the_background_in_the_order_of_their_values() -> None:
    found = structures_of(PlanValues(changed(DATASET, labels={"b": 2, "background": 0, "a": [1]}), "", "d"))
    assert (found.are_regions, found.outputs, [s.name for s in found.entries]) == (False, 3, ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": {"background": 0, "a": 1, "b": 3}}, "number its structures 1, 2, 3"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "number its structures 1, 2, 3"),
        ({"labels": {"a": 1}}, "no background"),
        ({"labels": {"background": 0}}, "no structure"),
        ({"labels": {"background": 0, "a": "1"}}, "no whole number"),
        ({"labels": {"background": 0, "a": [1, 2]}, "regions_class_order": [1, 2]}, "one value for each region"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "number its channels from 0"),
        ({"channel_names": {}}, "number its channels from 0"),
    ],
)
def test_labels_and_channels_that_nnunet_would_not_take_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        structures_of(PlanValues(changed(DATASET, **changes), "", "d"))


def test_channels_keep_their_order_beyond_ten() -> None:
    names = {str(n): f"c{n}" for n in range(12)}
    assert structures_of(PlanValues(changed(DATASET, channel_names=names), "", "d")).channels[11] == "c11"


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/plans.json", "a/../../plans.json", "C:\\plans.json", "..\\plans.json"]
)
def test_names_that_lead_out_of_the_zip_file_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"{}")
    with pytest.raises(ModelError, match="leads elsewhere"):
        trained_models(results_source(path))


def test_a_checkpoint_that_would_fill_the_disk_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    place = written_results(tmp_path / "r", {"0": b""})
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("plans.json", "dataset.json"):
            archive.write(place / name, f"m/{name}")
        archive.writestr("m/fold_0/checkpoint_final.pth", bytes(2**26))
    assert path.stat().st_size < 2**18
    with pytest.raises(ModelError, match="which no network does"):
        loaded(path)


def test_a_damaged_zip_file_is_told_by_name(tmp_path: Path) -> None:
    place = written_results(tmp_path / "r", {"0": a_checkpoint()})
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(place.rglob("*.*")):
            archive.write(file, file.relative_to(tmp_path / "r"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        loaded(path)


def test_what_is_no_model_is_told_with_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "empty", r"no plans\.json"), (tmp_path / "none", "no such folder or zip file")):
        with pytest.raises(ModelError, match=words):
            trained_models(results_source(path))
    untrained = written_results(tmp_path / "r", {})
    with pytest.raises(ModelError, match=r"no checkpoint_final\.pth"):
        trained_models(results_source(untrained))
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    with pytest.raises(ModelError, match="no zip file"):
        results_source(tmp_path / "text")


def test_plans_that_are_no_json_are_told_by_name(tmp_path: Path) -> None:
    place = written_results(tmp_path, {"0": a_checkpoint()})
    for content in ("{", "[1]", json.dumps({"configurations": 3}), "[" * 100_000):
        (place / "plans.json").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match=r"plans\.json"):
            loaded(place)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    outside = written_results(tmp_path / "outside", {"0": b""})
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(outside, target_is_directory=True)
    with pytest.raises(ModelError, match="no trained model"):
        trained_models(results_source(tmp_path / "inside"))


def test_without_a_choice_only_finished_folds_with_a_number_are_averaged(tmp_path: Path) -> None:
    place = written_results(tmp_path, dict.fromkeys(("0", "1", "2", "0_before", "all"), a_checkpoint()))
    (place / "fold_1" / "checkpoint_final.pth").rename(place / "fold_1" / "checkpoint_best.pth")
    assert [fold.fold for fold in loaded(place).folds] == ["0", "2"]
    for fold in ("0", "2"):
        (place / f"fold_{fold}" / "checkpoint_final.pth").rename(place / f"fold_{fold}" / "checkpoint_best.pth")
    assert [fold.fold for fold in loaded(place).folds] == ["0", "1", "2"]


def test_folders_of_thousands_of_models_are_listed_at_once() -> None:
    compared = 0

    class Counted(PurePosixPath):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

        __hash__ = PurePosixPath.__hash__

    class Many(ResultsFolder):
        def files(self) -> list[PurePosixPath]:
            names = ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth")
            return [Counted(f"model{number}/{name}") for number in range(1000) for name in names]

    assert len(trained_models(Many(Path()))) == 1000
    assert compared < 100_000
