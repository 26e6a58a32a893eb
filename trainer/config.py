"""Training configuration: a frozen dataclass from a TOML or YAML file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from MultiTaskSegLib.runtime.errors import UsageError

Triple = tuple[int, int, int]
# Other numbers end a run in the middle, or leave a network that has learnt nothing.
POSITIVE = (
    "learning_rate",
    "gradient_clip",
    "groups_per_step",
    "patches_per_group",
    "patch_voxels",
    "fit_matrix",
    "calibration_bins",
)
NOT_NEGATIVE = ("seed", "weight_decay", "threads", "workers")
FEWEST_LEVELS = 2
LARGEST_WEIGHT = 1000.0
"""Of a dataset; its inverse is the smallest. Others would leave a dataset that is never drawn, or no other one."""
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class TrainingConfig:
    """All settings of a training run; the defaults are what a newcomer should use.

    Attributes:
        seed: of the initial weights and every draw.
        split_seed: of the split into training and held-out groups; apart from ``seed``, so that models of several
            seeds can be compared and combined on the same held-out groups.
        channels: per level; empty: 16-32-64-128-128 for 3-D, 24-48-96-160-192 for 2-D.
        head: ``per_task`` gives each task its own background and labels; ``shared_foreground`` is the single
            foreground channel of Karimi & Gholipour for all tasks.
        sampling_exponent: a case of a dataset with n training cases is drawn with probability ~ n**-exponent
            (0.5: Karimi & Gholipour and MultiTalent; 1: every dataset alike; 0: every case alike).
        sampling_weights: dataset name to how much more often it is drawn than that says; 1 where it is not named.
        foreground_fraction: share of patches centred on a random label.
        groups_per_step: tasks drawn per step.
        patches_per_group: patches of one task per forward pass.
        patch_voxels: upper limit of a patch that follows from the images.
        patch_zyx: patch on the network's grid for 3-D images, rounded up to what the network divides; empty: the median
            image, as far as ``patch_voxels`` allows.
        spacing_mm: voxel size ``(z, y, x)`` of the network's grid for 3-D images; empty: the median of the images.
        fit_matrix: pixels of the longer side of 2-D images.
        calibration_weight: weight of mL1-ACE (Barfoot et al., MICCAI 2024), the loss term that asks probabilities to be
            right; 0: left out.
        calibration_binning: ``soft`` or ``hard`` bins of that term.
        calibration_bins: how many.
        absence_weight: weight of the loss term that other tasks' labels are absent where they cannot be.
        mirror_axes: dataset name to axes ("x", "yx", ...) along which it may be mirrored; none by default, because
            labels with a side would be swapped.
        precision: ``float32``, ``bfloat16`` (pays on CPUs with AVX512-BF16 or AMX and on GPUs; elsewhere it is slower)
            or ``auto``: a trial at the start chooses, and a resumed run goes on in what was chosen.
        validation_fraction: share of groups held out.
        measuring_share: share of the training's time that measuring the trained network may take, beyond the least
            number of cases that calibration and check need; cases are then left out evenly over patients, which the
            model and the report say. 0: all cases are measured, and a run with steps repeats its model to the bit.
        snapshots: networks that one training leaves (Huang et al., ICLR 2017): the learning rate falls to nothing in as
            many equal cycles of the budget, and what has been learnt at the end of each is kept as a model file in the
            run folder's ``snapshots``; the last one is the model. The average of weights begins anew in each cycle, for
            members that share weights would agree without reason. 0 or 1: none.
        ood_layers: layers of the spectral signature; empty: those of the variant.
        ood_variant: ``composite`` (spectra and channel means of the first four encoder stages, texture, layout and
            shading of the image, whitened), ``whitened`` (without the image's own), ``multilayer`` (log(s /
            sqrt(N)), all layers) or ``paper`` (last decoder stage, log s scaled to unit length).

    Raises:
        UsageError: a number is one that no training can have.
    """

    seed: int = 0
    split_seed: int = 0
    channels: tuple[int, ...] = ()
    head: Literal["per_task", "shared_foreground"] = "per_task"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    warmup_steps: int = 50
    sampling_exponent: float = 0.5
    sampling_weights: dict[str, float] = field(default_factory=dict)
    foreground_fraction: float = 0.6
    groups_per_step: int = 2
    patches_per_group: int = 2
    patch_voxels: int = 131_072
    patch_zyx: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    fit_matrix: int = 256
    dice_weight: float = 1.0
    cross_entropy_weight: float = 1.0
    calibration_weight: float = 0.0
    calibration_binning: Literal["soft", "hard"] = "soft"
    calibration_bins: int = 20
    absence_weight: float = 0.2
    deep_supervision: bool = True
    ema_decay: float = 0.998
    mirror_axes: dict[str, str] = field(default_factory=dict)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = 0
    workers: int = 1
    validation_fraction: float = 0.2
    minimum_validation_groups: int = 4
    validations: int = 8
    validation_cases: int = 6
    measuring_share: float = 0.15
    snapshots: int = 0
    ood_layers: tuple[str, ...] = ()
    ood_variant: Literal["composite", "whitened", "multilayer", "paper"] = "composite"

    def __post_init__(self) -> None:
        for name in (*POSITIVE, *NOT_NEGATIVE):
            value, is_positive = getattr(self, name), name in POSITIVE
            # NaN fails every comparison.
            if not (value > 0 if is_positive else value >= 0):
                remedy = "Use a number above 0" if is_positive else "Use 0 or more"
                raise UsageError(f"{name} is {value}", remedy=f"{remedy} in the configuration")
        for dataset, weight in self.sampling_weights.items():
            if not 1 / LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT:
                raise UsageError(
                    f"sampling_weights of {dataset} is {weight}",
                    remedy=f"Use a number from {1 / LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}; leave the dataset out of "
                    "--data if it is not to be learnt",
                )
        if self.channels and (len(self.channels) < FEWEST_LEVELS or min(self.channels) < 1):
            raise UsageError(
                f"channels is {list(self.channels)}",
                remedy=f"Give {FEWEST_LEVELS} levels or more, each of one channel or more, or leave it out",
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without ``sampling_weights`` where there are none, so that older runs go on."""
        values = dataclasses.asdict(self)
        if not self.sampling_weights:
            del values["sampling_weights"]
        return values


def require_whole_grid(config: TrainingConfig) -> None:
    """Refuse a grid or patch that does not have three axes.

    Raises:
        UsageError: ``spacing_mm`` or ``patch_zyx`` has another number of values, or one that is not positive.
    """
    for name, values in (("spacing_mm", config.spacing_mm), ("patch_zyx", config.patch_zyx)):
        if values and (len(values) != 3 or min(values) <= 0):
            raise UsageError(f"{name} is {list(values)}", remedy="Give three positive numbers, or leave it out")


def require_known_datasets(config: TrainingConfig, datasets: Sequence[str]) -> None:
    """Refuse a setting of a dataset that is not there: a misspelt name would change nothing, and nobody would know.

    A name that is right, of a dataset that is left out this time, cannot be told from that: all are named at once.

    Args:
        config: with ``mirror_axes`` and ``sampling_weights``.
        datasets: names of all that is trained on.

    Raises:
        UsageError: a name is none of them, or an axis is none of x, y and z.
    """
    for setting in ("mirror_axes", "sampling_weights"):
        unknown = sorted(set(getattr(config, setting)) - set(datasets))
        if unknown:
            raise UsageError(
                f"{setting} names {' and '.join(unknown)}, which {'are' if len(unknown) > 1 else 'is'} not trained on",
                remedy="Correct the name, or remove it from the configuration where the dataset is left out on "
                f"purpose; known are {', '.join(datasets)}",
            )
    wrong = sorted(name for name, axes in config.mirror_axes.items() if set(axes) - set("zyx"))
    if wrong:
        raise UsageError(
            f"mirror_axes of {wrong[0]} are {config.mirror_axes[wrong[0]]!r}", remedy="Use the letters z, y and x"
        )


def read_config(path: Path | None) -> TrainingConfig:
    """Read a ``.toml``, ``.yaml`` or ``.yml`` file; defaults when there is none.

    Raises:
        UsageError: the file is missing or malformed, a key is unknown or a value has the wrong type.
    """
    return read_tables(path, {})[0]


def read_tables(path: Path | None, tables: Mapping[str, type[Any]]) -> tuple[TrainingConfig, dict[str, Any]]:
    """Read a configuration file that may also hold tables with other settings.

    Args:
        path: file; None: all defaults.
        tables: frozen dataclass by the name of its table.

    Returns:
        The training configuration, and an instance of each dataclass by table name.

    Raises:
        UsageError: as `read_config`.
    """
    values = {} if path is None else _read(path)
    source: Path | str = path or "configuration"
    made: dict[str, Any] = {}
    for name, kind in tables.items():
        table = values.pop(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{name} is {table!r}, not a table", file=source, remedy="Correct the value")
        made[name] = settings_from_dict(kind, table, source)
    return config_from_dict(values, source), made


def read_experiment(path: Path | None, tables: Mapping[str, type[Any]]) -> tuple[TrainingConfig, dict[str, Any]]:
    """`read_tables` for runs that are compared: they must not differ in what a timed trial chose for each.

    Args:
        path, tables: see `read_tables`.

    Returns:
        The same; ``precision`` is ``float32`` where the file names none.

    Raises:
        UsageError: as `read_config`, or snapshots are wanted.
    """
    training, made = read_tables(path, tables)
    if training.snapshots not in (0, 1):
        raise UsageError(
            f"snapshots is {training.snapshots}, and an experiment compares finished models",
            file=path,
            remedy="Leave it out; train with snapshots by itself, and measure them with experiment failure-detection",
        )
    if training.precision == "auto":
        training = dataclasses.replace(training, precision="float32")
    return training, made


def _read(path: Path) -> dict[str, Any]:
    try:
        values = _parse(path)
    except FileNotFoundError:
        raise UsageError("the configuration file is missing", file=path, remedy="Correct --config") from None
    except OSError as error:
        raise UsageError(
            f"the configuration cannot be read ({error.strerror})", file=path, remedy="Correct --config"
        ) from error
    except ValueError as error:
        raise UsageError(f"the configuration is malformed ({error})", file=path, remedy="Correct it") from error
    return values


def config_from_dict(values: dict[str, Any], source: Path | str = "configuration") -> TrainingConfig:
    """Build a configuration from plain values.

    Raises:
        UsageError: a key is unknown or a value has the wrong type.
    """
    return settings_from_dict(TrainingConfig, values, source)


def settings_from_dict(kind: type[Settings], values: dict[str, Any], source: Path | str = "configuration") -> Settings:
    """Build a dataclass of settings from plain values.

    Raises:
        UsageError: a key is unknown or a value has the wrong type.
    """
    hints = get_type_hints(kind)
    unknown = sorted(str(key) for key in values if key not in hints)
    if unknown:
        raise UsageError(
            f"unknown key {', '.join(unknown)}", file=source, remedy=f"Known keys are {', '.join(sorted(hints))}"
        )
    missing = [field.name for field in dataclasses.fields(kind) if _is_required(field) and field.name not in values]  # type: ignore[arg-type]
    if missing:
        raise UsageError(f"{' and '.join(missing)} is missing in {kind.__name__}", file=source, remedy="Add it")
    return kind(**{key: _checked(key, value, hints[key], source) for key, value in values.items()})


def _is_required(setting: dataclasses.Field[Any]) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING


def _checked(key: str, value: Any, hint: Any, source: Path | str) -> Any:
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise UsageError(f"{key} is {value!r}", file=source, remedy=f"Use one of {', '.join(get_args(hint))}")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return settings_from_dict(hint, value, source)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_checked(key, item, get_args(hint)[0], source) for item in value)
    if origin is dict and isinstance(value, dict):
        of = get_args(hint)[1]
        return {str(name): _checked(f"{key}.{name}", item, of, source) for name, item in value.items()}
    wanted = origin or hint
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UsageError(f"{key} is {value!r}, not {wanted.__name__}", file=source, remedy="Correct the value")
    return value


def _parse(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".yaml", ".yml"):
        import yaml

        try:
            loaded = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    elif path.suffix == ".toml":
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        loaded = tomllib.loads(text)
    else:
        raise ValueError("the name must end in .toml, .yaml or .yml")
    if not isinstance(loaded, dict):
        raise ValueError("the top level is not a table")
    return loaded
