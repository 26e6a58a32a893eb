"""Seven things that happen to a scene, before, during and after a run, in both modules (ON STAND-IN WIDGETS).

Whatever happens: no exception, no observer that is left behind, no process, no temporary file.
"""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed for this Python")

from MultiTaskSegLib import job, worker_process
from Testing.slicer import scene_samples as samples

MODULES = {"MultiTaskSeg": ("segmentButton", "Segment"), "OODCheck": ("checkButton", "Check")}
PHASES = ("before a run", "during a run", "after a run")


def close_scene(scene, _volume, _folder) -> None:
    scene.Clear(0)


def remove_volume(scene, volume, _folder) -> None:
    scene.RemoveNode(volume)


def add_volume(_scene, _volume, _folder) -> None:
    samples.volume(name="another")


def save(scene, _volume, folder) -> None:
    scene.SetURL(str(folder / "scene.mrml"))
    scene.SetRootDirectory(str(folder))
    assert scene.Commit()


def import_scene(scene, volume, folder) -> None:
    save(scene, volume, folder)
    assert scene.Import()


def restore_view(scene, _volume, _folder) -> None:
    scene.StartState(scene.RestoreState)
    scene.EndState(scene.RestoreState)


def process_batch(scene, _volume, _folder) -> None:
    scene.StartState(scene.BatchProcessState)
    for name in ("one", "two"):
        samples.volume(name=name)
    scene.EndState(scene.BatchProcessState)


EVENTS = (close_scene, remove_volume, add_volume, save, import_scene, restore_view, process_batch)
ENDS_THE_RUN = (close_scene, remove_volume)


def observer_count(scene) -> int:
    """How many observers a scene has, from what it prints about itself."""
    return str(scene).count("Tag:")


@pytest.fixture
def processes(monkeypatch):
    """Every process that a runner starts."""
    started = []
    start = worker_process.start_tree

    def record(*arguments):
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(worker_process, "start_tree", record)
    return started


def unload(widget) -> None:
    """What Slicer does when it reloads or unloads a module, and what its own selectors do when they go."""
    from Testing.slicer.stand_ins.panel import forget_scene

    widget.cleanup()
    forget_scene(widget)


@pytest.fixture
def remains(session, open_panel, worker, until, processes, capfd, tmp_path):
    """Opens a panel, brings it into a phase, lets something happen, unloads it, and returns what is left behind."""

    def run(module: str, phase: str, happen) -> dict[str, object]:
        scratch = worker("slow" if phase == "during a run" else "good")
        from Testing.slicer.stand_ins.parameter_node import added_observer_count, own_observer_count

        volume, scene = samples.volume(), session.scene
        first = open_panel(module)  # makes what stays in the scene: the parameter node
        unload(first)
        before = observer_count(scene)
        widget = open_panel(module)
        node = widget.logic.getParameterNode().parameterNode
        button, title = getattr(widget.ui, MODULES[module][0]), MODULES[module][1]
        # Else there would be nothing to leave behind.
        assert observer_count(scene) > before
        assert added_observer_count(node) == 1
        wrapped = own_observer_count(node)
        if phase != "before a run":
            button.click()
            assert button.text == "Cancel"
        if phase == "after a run":
            assert until(lambda: button.text == title)
        happen(scene, volume, tmp_path)
        if phase == "during a run" and happen in ENDS_THE_RUN:
            assert until(lambda: button.text == title)
        assert button.text == ("Cancel" if phase == "during a run" and happen not in ENDS_THE_RUN else title)
        until(lambda: False, 0.15)  # what was put off comes now
        unload(widget)
        job.shared_runner().close()
        return {
            "exceptions": capfd.readouterr().err.count("Traceback"),
            "observers": [
                observer_count(scene) - before,
                added_observer_count(node),
                own_observer_count(node) - wrapped,
            ],
            "processes": [process.pid for process in processes if process.poll() is None],
            "files": [path.name for path in scratch.iterdir()],
        }

    return run


@pytest.mark.parametrize("happen", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("module", MODULES)
def test_whatever_happens_to_the_scene_nothing_is_left_behind(remains, module, phase, happen):
    assert remains(module, phase, happen) == {"exceptions": 0, "observers": [0, 0, 0], "processes": [], "files": []}


def test_an_observer_that_is_left_behind_would_be_noticed(session):
    before = observer_count(session.scene)
    session.scene.AddObserver(session.scene.StartCloseEvent, print)
    assert observer_count(session.scene) == before + 1


@pytest.mark.parametrize("module", MODULES)
def test_reloading_the_module_during_a_run_ends_it_and_the_new_panel_works(
    open_panel, worker, until, module, processes
):
    scratch = worker("slow")
    samples.volume()
    name, title = MODULES[module]
    widget = open_panel(module)
    getattr(widget.ui, name).click()
    unload(widget)
    assert [process.poll() is None for process in processes] == [False]
    assert list(scratch.iterdir()) == []
    worker("good")
    button = getattr(open_panel(module).ui, name)
    button.click()
    assert until(lambda: button.text == title)


@pytest.mark.parametrize("module", MODULES)
def test_a_second_click_cancels_and_a_third_starts_anew(open_panel, worker, until, module, processes):
    worker("slow")
    samples.volume()
    name, title = MODULES[module]
    button = getattr(open_panel(module).ui, name)
    for expected in ("Cancel", title, "Cancel", title):
        button.click()
        assert button.text == expected
    assert [process.poll() is None for process in processes] == [False, False]
