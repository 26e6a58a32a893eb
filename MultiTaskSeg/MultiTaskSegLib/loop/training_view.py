"""The part of the panel that trains: it shows the training of this application, whichever panel has started it."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.installation.trainer_packages import ensure_trainer
from MultiTaskSegLib.learning.shared_training import current_training
from MultiTaskSegLib.learning.training_run import TrainingRun
from MultiTaskSegLib.loop.learning import train
from MultiTaskSegLib.loop.path_field import GROUP, PathField
from MultiTaskSegLib.panel.element.choice_list import ChoiceList
from MultiTaskSegLib.panel.summary import error_text, notice_text, progress_text
from MultiTaskSegLib.runtime.errors import MtsError, UsageError
from MultiTaskSegLib.runtime.model.model_folder import model_name
from MultiTaskSegLib.task_list import short_name

POLL_INTERVAL_MS = 250
MS_PER_S = 1000.0
USED, NOTHING = "used", "nothing"
MINUTES_KEY = f"{GROUP}/trainingMinutes"


class TrainingView:
    """One button that starts and cancels, with progress, the time that is left and held-out Dice as it goes."""

    def __init__(
        self, ui: Any, folder: PathField, segmentation: Callable[[], Any], use: Callable[[str], object]
    ) -> None:
        """Take over the widgets, and find a training that is under way.

        Args:
            ui: with ``startFromComboBox``, ``minutesSpinBox``, ``trainerPathLineEdit``, ``trainButton``,
                ``trainingProgressBar``, ``trainingLabel`` and ``useModelButton``.
            folder: of the dataset.
            segmentation: returns the result that is shown, or None.
            use: is called with the path of a new model that the panel is to use.
        """
        self.ui, self._folder, self._segmentation, self._use = ui, folder, segmentation, use
        self._told: TrainingRun | None = None
        self._start = USED
        self._starts = ChoiceList(ui.startFromComboBox, lambda value: setattr(self, "_start", value))
        self._starts.offer([(USED, _("the model of this result")), (NOTHING, _("nothing: a new network"))], USED)
        self._trainer = PathField(ui.trainerPathLineEdit, "trainer")
        ui.minutesSpinBox.value = int(slicer.util.settingsValue(MINUTES_KEY, ui.minutesSpinBox.value, converter=int))
        ui.trainButton.connect("clicked(bool)", self.on_button)
        ui.useModelButton.connect("clicked(bool)", self.use_model)
        self.timer = qt.QTimer()
        self.timer.setInterval(POLL_INTERVAL_MS)
        self.timer.connect("timeout()", self.show)
        self.show()

    def release(self) -> None:
        """The panel is about to go; the training is not."""
        self.timer.stop()

    def on_button(self, _checked: bool = False) -> None:
        """Start a training, or cancel the one under way."""
        run = current_training()
        if run is not None and not run.is_over:
            if MS_PER_S * (time.monotonic() - run.began_s) >= slicer.app.doubleClickInterval:  # else a stray click
                run.cancel()
            self.show()
            return
        try:
            self._begin()
        except MtsError as error:
            self._say(error_text(str(error)))
            return
        self.show()

    def use_model(self, _checked: bool = False) -> None:
        """Choose the model that was trained last."""
        run = current_training()
        if run is not None and run.model is not None:
            self._use(str(run.model))
        self.ui.useModelButton.visible = False

    def show(self) -> None:
        """Bring the widgets up to date."""
        run = current_training()
        is_running = run is not None and not run.is_over
        self.ui.trainButton.text = _("Cancel training") if is_running else _("Train")
        self.ui.trainingProgressBar.visible = is_running
        if run is not None and is_running:
            self.timer.start()
            self.ui.trainingProgressBar.value = round(100 * run.progress.fraction)
            self.ui.useModelButton.visible = False
            self._say(_running_text(run))
            return
        self.timer.stop()
        if run is not None and run is not self._told:
            self._told = run
            self.ui.useModelButton.visible = run.model is not None
            self._say(_outcome_text(run))

    def _begin(self) -> None:
        segmentation = self._segmentation()
        if self._start == USED and segmentation is None:
            raise UsageError(
                "there is no result whose model a training could go on from",
                remedy="Select a result, or begin with nothing",
            )
        minutes = self.ui.minutesSpinBox.value
        qt.QSettings().setValue(MINUTES_KEY, minutes)
        self._say(html.escape(_("Looking for the trainer ...")))
        python = ensure_trainer(self._trainer.path)
        folder = self._folder.path
        train([folder] if folder else [], segmentation if self._start == USED else None, minutes, python=python)

    def _say(self, text: str) -> None:
        self.ui.trainingLabel.text = text
        self.ui.trainingLabel.visible = bool(text)


def _running_text(run: TrainingRun) -> str:
    progress = run.progress
    lines = [progress_text(progress.fraction, progress.eta_s, progress.step), *_dice_lines(run)]
    return "<br>".join(map(html.escape, lines))


def _dice_lines(run: TrainingRun) -> list[str]:
    measured = run.dice
    texts = (_("Dice of held-out cases: {dice}"), _("before: {dice}"))
    return [text.format(dice=dice_text(dice)) for text, dice in zip(texts, measured[:-3:-1], strict=False)]


def dice_text(dice: Mapping[str, float]) -> str:
    """Mean Dice by dataset."""
    return ", ".join(f"{short_name(name)} {value:.2f}" for name, value in dice.items())


def _outcome_text(run: TrainingRun) -> str:
    try:
        path = run.result()
    except MtsError as error:
        return error_text(str(error))
    name = _("The model {name} is among your models.").format(name=model_name(path))
    return notice_text(name) + "".join(f"<p>{html.escape(line)}</p>" for line in _dice_lines(run))
