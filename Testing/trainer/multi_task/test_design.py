"""Which runs a multi-task experiment consists of: nobody is tested on whom a training saw, every arm costs the same."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from Testing.trainer.multi_task.tiny_study import (
    CT,
    DATASETS,
    FLAIR,
    SHORT_ARMS,
    T1,
    ULTRASOUND,
    write_config,
    write_data,
)
from trainer.data.dataset import read_dataset
from trainer.experiment.executor import SequentialExecutor
from trainer.experiment.run import Run, make_jobs
from trainer.multi_task.design import Design
from trainer.multi_task.experiment import run_multi_task
from trainer.multi_task.settings import ARMS, read_multi_task


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def design(root: Path) -> Design:
    """All arms of the defaults."""
    return Design(read_multi_task(write_config(root / "all.toml", arms="")))


def names_of(run: Run) -> list[str]:
    return [Path(data).name for data in run.parameters["data"]]


def test_no_training_sees_a_patient_who_is_tested_in_whichever_dataset(design: Design, root: Path) -> None:
    tested = {group for groups in design.divisions[0].tested.values() for group in groups}
    assert all(design.divisions[0].tested[name] for name in DATASETS)
    for run in design.runs:
        for data, hidden in zip(run.parameters["data"], run.parameters["hidden_groups"], strict=True):
            seen = set(read_dataset(Path(data)).groups) - set(hidden)
            assert len(seen) >= 3
            assert not seen & tested


def test_datasets_of_the_same_patients_test_the_same_ones_and_do_not_lend_each_other_networks(design: Design) -> None:
    shared = set(read_dataset(design.divisions[0].datasets[T1].directory).groups)
    assert design.divisions[0].tested[FLAIR] & shared == design.divisions[0].tested[T1]
    assert FLAIR not in design.divisions[0].strangers(T1)
    transfers = [run for run in design.runs if run.name.startswith("pretrained.others-of-" + T1)]
    assert transfers
    assert all(sorted(names_of(run)) == sorted([ULTRASOUND, CT]) for run in transfers)


def test_every_arm_spends_the_same_steps_on_each_dataset(design: Design) -> None:
    runs = {run.name: run for run in design.runs}
    settings = design.plan.settings
    for arm in ARMS:
        for name in DATASETS:
            own = runs[design.runs_of(arm, name, 4, 0)[0]]
            start = [runs[need] for need in own.needs]
            per_dataset = 0.0
            for run in (own, *start):
                # A network of all datasets is there for each of them, one that is lent for one target.
                is_of_all = len(run.parameters["data"]) == len(DATASETS)
                per_dataset += run.parameters["steps"] / (len(DATASETS) if is_of_all else 1)
            assert per_dataset == settings.steps, arm.name


def test_arms_that_differ_in_the_fine_tuning_alone_start_from_the_same_run(design: Design) -> None:
    runs = {run.name: run for run in design.runs}
    by_name = {arm.name: arm for arm in ARMS}
    for source in ("largest", "others"):
        one, other = (runs[design.runs_of(by_name[f"transfer-{source}{end}"], CT, 4, 1)[0]] for end in ("", "-last"))
        assert one.needs == other.needs
        assert (one.parameters["strategy"], other.parameters["strategy"]) == ("all", "last-layers")
    (lent,) = runs[design.runs_of(by_name["transfer-largest"], CT, 4, 1)[0]].needs
    sizes = {name: len(design.divisions[0].labelled(name, 0, 0)) for name in DATASETS if name != CT}
    assert sizes[names_of(runs[lent])[0]] == max(sizes.values())


def test_fewer_labels_are_among_more_labels_and_the_tests_stay(design: Design) -> None:
    few, every = (set(design.divisions[0].labelled(ULTRASOUND, count, 0)) for count in (4, 0))
    assert len(few) == 4
    assert few < every
    assert every | design.divisions[0].tested[ULTRASOUND] == set(design.divisions[0].datasets[ULTRASOUND].groups)
    assert set(design.divisions[0].labelled(ULTRASOUND, 4, 1)) != few
    # More than there are: all.
    assert set(design.divisions[0].labelled(ULTRASOUND, 50, 0)) == every


def test_one_number_of_labels_and_one_seed_are_complete_before_the_next_begins(design: Design, root: Path) -> None:
    jobs = make_jobs(design.runs, root / "runs")
    order = [name.split(".")[2:] for name in jobs]
    assert order == sorted(order, key=lambda part: (("4", "all").index(part[0]), part[1]))
    measured: dict[str, int] = defaultdict(int)
    for run in design.runs:
        for wanted in run.parameters["measured"]:
            measured[Path(wanted["data"]).name] += 1
            assert wanted["lesions"] == wanted["data"].endswith(FLAIR)
    assert set(measured) == set(DATASETS)


def test_other_patients_make_other_runs_of_all_networks_that_learn_from_them(root: Path, tmp_path: Path) -> None:
    config = write_config(root / "short.toml")
    write_data(tmp_path / "data")
    cases = tmp_path / "data" / T1 / "cases.csv"
    cases.write_text(cases.read_text().replace("case_00,patient_0", "case_00,patient_other"))
    before, after = (Design(read_multi_task(config, data)).runs for data in (None, tmp_path / "data"))
    for one, other in zip(before, after, strict=True):
        assert (one.parameters["content"] != other.parameters["content"]) == (T1 in names_of(one)), one.name


@pytest.mark.parametrize(
    ("more", "arms", "why"),
    [
        ("reference = 'nothing'", SHORT_ARMS, "reference or ours is no arm"),
        ("minimum_test_groups = 4\nours = 'nothing'", SHORT_ARMS, "reference or ours is no arm"),
        ("", SHORT_ARMS + "\n[[multi_task.arms]]\nname = 'joint'\nkind = 'joint'\n", "two arms have the same name"),
        ("", SHORT_ARMS + "\n[[multi_task.arms]]\nname = 'a b'\nkind = 'joint'\n", "no name of one word"),
        ("", SHORT_ARMS + "\n[[multi_task.arms]]\nname = 'a'\nkind = 'best'\n", "kind is 'best'"),
        ("", SHORT_ARMS + "numbers = {sampling = 1.0}\n", "unknown key sampling"),
        ("", SHORT_ARMS + "numbers = {seed = 1}\n", "numbers of an arm has a seed"),
        ("ours = 'dedicated'", SHORT_ARMS, "the same arm"),
        ("", SHORT_ARMS + "source = 'others'\n", "arm joint-finetuned has a source and is no transfer"),
        ("", SHORT_ARMS.replace('"dedicated"\n\n', '"dedicated"\nstrategy = "last-layers"\n\n'), "does not fine-tune"),
        ("test_fraction = 1.0", SHORT_ARMS, "test_fraction"),
    ],
)  # fmt: skip
def test_settings_that_contradict_themselves_are_refused_before_anything_is_read(
    tmp_path: Path, more: str, arms: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        read_multi_task(write_config(tmp_path / "wrong.toml", more=more, arms=arms))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("labelled_groups = [4, 0]", "labelled_groups = [2]", "below 3"),
        ("labelled_groups = [4, 0]", "labelled_groups = []", "empty"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "seed"),
        ("finetune_steps = 2", "finetune_steps = 4", "more than finetune_steps"),
        (f'lesions = ["{FLAIR}"]', 'lesions = ["Dataset009"]', "lesions names a dataset"),
        (f'"{T1}", ', f'"{FLAIR}", ', "named twice"),
        ("foreign_images = 2", "foreign_images = -1", "foreign_images is negative"),
        ("[multi_task]", "seed = 3\n[multi_task]", "seed at the top level has no effect"),
        ("[multi_task]", "head = 'shared_foreground'\n[multi_task]", "head at the top level has no effect"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    config = write_config(tmp_path / "wrong.toml")
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=why):
        read_multi_task(config)


def test_a_dataset_of_too_few_patients_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    cases = tmp_path / "data" / CT / "cases.csv"
    lines = cases.read_text().splitlines()
    cases.write_text("\n".join([lines[0], *(f"{line.split(',')[0]},p{n % 3}" for n, line in enumerate(lines[1:]))]))
    with pytest.raises(DatasetError, match=rf"{CT} has 3 groups: too few"):
        Design(read_multi_task(write_config(root / "few.toml"), tmp_path / "data"))


def test_networks_that_differ_in_head_or_in_a_number_that_prints_alike_are_not_shared(root: Path) -> None:
    arms = SHORT_ARMS + "".join(
        f"""
[[multi_task.arms]]
name = "{name}"
kind = "{kind}"
{rest}
"""
        for name, kind, rest in (
            ("finetuned-shared", "joint_finetuned", "head = 'shared_foreground'"),
            ("lent-shared", "transfer", "head = 'shared_foreground'\nsource = 'others'"),
            ("close", "joint_finetuned", "numbers = {learning_rate = 0.00200001}"),
            ("closer", "joint_finetuned", "numbers = {learning_rate = 0.00200002}"),
        )
    )
    design = Design(read_multi_task(write_config(root / "heads.toml", arms=arms)))
    runs = {run.name: run for run in design.runs}
    assert len(runs) == len(design.runs)
    for arm in design.plan.settings.arms:
        own = runs[design.runs_of(arm, CT, 4, 0)[0]]
        for one in (own, *(runs[need] for need in own.needs)):
            assert one.parameters["training"]["head"] == arm.head
            for key, value in arm.numbers.items():
                assert one.parameters["training"][key] == value
    make_jobs(design.runs, root / "runs")


def test_names_of_datasets_that_no_run_can_have_are_replaced_and_kept_apart(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    odd = ("Herz, Daten (1)", "Herz, Daten [1]", "Lunge_\u00fc", "all")
    for name, new in zip(DATASETS, odd, strict=True):
        (tmp_path / "data" / name).rename(tmp_path / "data" / new)
    config = write_config(tmp_path / "odd.toml", data=odd)
    config.write_text(config.read_text().replace(f'lesions = ["{FLAIR}"]', "lesions = []"))
    design = Design(read_multi_task(config))
    runs = {run.name: run for run in design.runs}
    assert len(make_jobs(design.runs, tmp_path / "runs")) == len(design.runs)
    for arm in design.plan.settings.arms:
        for name in odd:
            measured = runs[design.runs_of(arm, name, 4, 1)[0]].parameters["measured"]
            assert name in [Path(one["data"]).name for one in measured]
            if arm.kind != "joint":
                assert len(measured) == 1


def test_foreign_images_count_by_what_they_hold_and_must_be_of_no_dataset(root: Path, tmp_path: Path) -> None:
    config = write_config(root / "foreign.toml")
    write_data(tmp_path / "data")
    (tmp_path / "data" / "foreign" / "noise_0.png").write_bytes(
        (tmp_path / "data" / "foreign" / "noise_1.png").read_bytes()
    )
    before, after = (Design(read_multi_task(config, data)).runs for data in (None, tmp_path / "data"))
    for one, other in zip(before, after, strict=True):
        differs = one.parameters["foreign_content"] != other.parameters["foreign_content"]
        assert differs == bool(one.parameters["measured"]), one.name
    config.write_text(config.read_text().replace('foreign = ["foreign"]', f'foreign = ["{CT}/imagesTr"]'))
    with pytest.raises(DatasetError, match=f"a foreign image is an image of dataset {CT}"):
        Design(read_multi_task(config))


def test_whole_numbers_can_be_changed_by_an_arm(tmp_path: Path) -> None:
    plan = read_multi_task(write_config(tmp_path / "whole.toml", arms=SHORT_ARMS + "numbers = {fit_matrix = 32}\n"))
    assert plan.training_of(plan.settings.arms[-1], 0, []).fit_matrix == 32
    with pytest.raises(UsageError, match="fit_matrix"):
        read_multi_task(write_config(tmp_path / "part.toml", arms=SHORT_ARMS + "numbers = {fit_matrix = 32.5}\n"))


def test_an_arm_may_have_a_network_of_another_width_and_leaves_the_others_as_they_were(root: Path) -> None:
    plain = Design(read_multi_task(write_config(root / "plain.toml", arms=SHORT_ARMS)))
    wide_arm = "\n[[multi_task.arms]]\nname = 'wide'\nkind = 'joint'\nchannels = [4, 8, 16]\n"
    wide = Design(read_multi_task(write_config(root / "wide.toml", arms=SHORT_ARMS + wide_arm)))
    own = [run for run in wide.runs if run not in plain.runs]
    assert [run for run in wide.runs if run not in own] == plain.runs
    assert {tuple(run.parameters["training"]["channels"]) for run in own} == {(4, 8, 16)}
    assert all(run.name.startswith("wide.") for run in own)
    with pytest.raises(UsageError, match="channels"):
        read_multi_task(write_config(root / "one.toml", arms=SHORT_ARMS + wide_arm.replace("4, 8, 16", "4")))


def test_arms_whose_trainings_are_the_same_are_trained_once(root: Path) -> None:
    plain = Design(read_multi_task(write_config(root / "plain.toml", arms=SHORT_ARMS)))
    # What these change is what the training says already.
    again = "".join(
        f"\n[[multi_task.arms]]\nname = '{arm}-again'\nkind = '{kind}'\n{rest}\n"
        for arm, kind, rest in (
            ("joint", "joint", "numbers = {learning_rate = 0.01}"),
            ("dedicated", "dedicated", "channels = [4, 6, 8]"),
            ("joint-finetuned", "joint_finetuned", "numbers = {ema_decay = 0.8}"),
        )
    )
    design = Design(read_multi_task(write_config(root / "again.toml", arms=SHORT_ARMS + again)))
    assert design.runs == plain.runs
    arms = {arm.name: arm for arm in design.plan.settings.arms}
    for name in ("joint", "dedicated", "joint-finetuned"):
        assert design.runs_of(arms[f"{name}-again"], CT, 4, 1)[0] == design.runs_of(arms[name], CT, 4, 1)[0]


def test_a_number_that_is_none_is_refused_before_anything_is_trained(root: Path, tmp_path: Path) -> None:
    arms = SHORT_ARMS + "numbers = {absence_weight = nan}\n"
    plan = read_multi_task(write_config(root / "none.toml", arms=arms))
    with pytest.raises(UsageError, match="not plain values"):
        run_multi_task(plan, tmp_path / "out", SequentialExecutor(), lambda line: None)


def test_an_arm_of_another_width_before_the_others_leaves_their_runs_too(root: Path) -> None:
    plain = Design(read_multi_task(write_config(root / "plain.toml", arms=SHORT_ARMS)))
    wide = "\n[[multi_task.arms]]\nname = 'wide'\nkind = 'joint_finetuned'\nchannels = [4, 8, 16]\n"
    first = Design(read_multi_task(write_config(root / "first.toml", arms=wide + SHORT_ARMS)))
    folders = [{job.folder for job in make_jobs(one.runs, root / "runs").values()} for one in (plain, first)]
    assert folders[0] < folders[1]


def test_weights_of_datasets_make_other_runs_of_networks_of_several_datasets_alone(root: Path) -> None:
    config = write_config(root / "even.toml")
    weighted = root / "weighted.toml"
    weighted.write_text(config.read_text() + f"\n[sampling_weights]\n{CT} = 2.0\n{T1} = 0.5\n")
    plain, other = (Design(read_multi_task(path)).runs for path in (config, weighted))
    for one, own in zip(plain, other, strict=True):
        weights = own.parameters["training"].pop("sampling_weights", {})
        # Of a single one there is nothing to draw.
        expected = {CT: 2.0, T1: 0.5} if len(names_of(own)) > 1 else {}
        assert weights == {name: weight for name, weight in expected.items() if name in names_of(own)}
        assert own == one


def test_results_are_not_written_where_a_view_could_not_name_them(root: Path) -> None:
    plan = read_multi_task(write_config(root / "comma.toml"))
    for name in ("a,b", "a::b"):
        with pytest.raises(UsageError, match="comma"):
            run_multi_task(plan, root / name, SequentialExecutor(), lambda line: None)
        assert not (root / name).exists()
