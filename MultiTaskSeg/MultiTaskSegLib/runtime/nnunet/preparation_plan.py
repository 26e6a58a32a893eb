"""How a configuration of nnU-Net prepares images: axes, spacing, patch, intensities and resampling."""

from __future__ import annotations

from dataclasses import dataclass

from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues

CT, Z_SCORE, NONE, RESCALE, RGB = "ct", "zscore", "none", "rescale01", "rgb01"
SCHEMES = {
    "CTNormalization": CT,
    "ZScoreNormalization": Z_SCORE,
    "NoNormalization": NONE,
    "RescaleTo01Normalization": RESCALE,
    "RGBTo01Normalization": RGB,
}
AS_STORED, RAS, PICTURE = "as_stored", "ras", "picture"
READERS = {
    "SimpleITKIO": AS_STORED,
    "NibabelIO": AS_STORED,
    "NibabelIOWithReorient": RAS,
    "SimpleITKIOWithReorient": RAS,
    "NaturalImage2DIO": PICTURE,
}
SPLINE, TORCH = "spline", "torch"
RESAMPLERS = {
    "resample_data_or_seg_to_shape": SPLINE,
    "resample_torch_fornnunet": TORCH,
    "resample_torch_simple": TORCH,
    "no_resampling_hack": NONE,
}
SPLINE_SETTINGS = {"is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold"}
TORCH_SETTINGS = {
    "is_seg", "num_threads", "device", "memefficient_seg_resampling", "force_separate_z", "mode", "aniso_axis_mode",
    "separate_z_anisotropy_threshold",
}  # fmt: skip
PREPROCESSORS = {"DefaultPreprocessor": True}
# Ratio of voxel edges beyond which slices are resampled one by one (nnU-Net's ANISO_THRESHOLD).
ANISOTROPIC = 3.0
MAX_ORDER = 5


@dataclass(frozen=True)
class Normalisation:
    """Intensities of one channel.

    Attributes:
        scheme: one of `SCHEMES`' values.
        within_mask: z-scores are computed and applied within the mask of voxels that are not 0.
        mean, deviation, low, high: of the foreground of the training images; of ``ct`` alone.
    """

    scheme: str
    within_mask: bool = False
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Resampling:
    """How maps change their size.

    Attributes:
        kind: ``spline`` (scikit-image), ``torch`` (linear) or ``none``.
        order: of the spline in the plane, or in space.
        order_across: between slices, where these are resampled one by one.
        separate: whether they are: True, False, or None where the spacing decides.
        threshold: ratio of voxel edges from which on it does.
    """

    kind: str
    order: int = 1
    order_across: int = 0
    separate: bool | None = None
    threshold: float = ANISOTROPIC


@dataclass(frozen=True)
class PreparationPlan:
    """What is done to an image before the network sees it, and to its scores afterwards.

    Attributes:
        reader: ``as_stored`` (axes in the order of the file), ``ras`` or ``picture``.
        transpose: order of the axes in the network, of ``(z, y, x)`` as stored.
        spacing_mm: of the network's grid, after the transposition; two numbers in 2-D, where slices keep theirs.
        patch: voxels of a patch, two or three numbers.
        normalisations: of the channels.
        images, scores: how they are resampled.
    """

    reader: str
    transpose: tuple[int, int, int]
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    normalisations: tuple[Normalisation, ...]
    images: Resampling
    scores: Resampling


def preparation_plan(plans: PlanValues, configuration: PlanValues, channels: int) -> PreparationPlan:
    """The preparation that plans ask for.

    Args:
        plans: the whole file.
        configuration: with what it inherits.
        channels: of the images.

    Raises:
        ModelError: something is not supported, or does not fit the rest.
    """
    configuration.choice("preprocessor_name", PREPROCESSORS)
    patch, spacing_mm = configuration.integers("patch_size", high=4096), configuration.numbers("spacing")
    if len(patch) not in (2, 3) or len(spacing_mm) != len(patch):
        raise configuration.refusal("does not have 2 or 3 numbers, as many as spacing has", "patch_size")
    transpose = plans.integers("transpose_forward", low=0, high=2)
    if sorted(transpose) != [0, 1, 2]:
        raise plans.refusal("is no order of three axes", "transpose_forward")
    scores = _resampling(configuration, "resampling_fn_probabilities")
    if scores.order != 1 or scores.order_across > 1:
        raise configuration.refusal("asks for other than linear interpolation", "resampling_fn_probabilities_kwargs")
    return PreparationPlan(
        reader=plans.choice("image_reader_writer", READERS),
        transpose=(transpose[0], transpose[1], transpose[2]),
        spacing_mm=spacing_mm,
        patch=patch,
        normalisations=_normalisations(plans, configuration, channels),
        images=_resampling(configuration, "resampling_fn_data"),
        scores=scores,
    )


def _normalisations(plans: PlanValues, configuration: PlanValues, channels: int) -> tuple[Normalisation, ...]:
    schemes, masks = configuration.values.get("normalization_schemes"), configuration.values.get("use_mask_for_norm")
    if not (isinstance(schemes, list) and isinstance(masks, list) and len(schemes) == len(masks) == channels):
        raise configuration.refusal(f"does not have one entry for each of {channels} channels", "normalization_schemes")
    found = []
    for number, (name, mask) in enumerate(zip(schemes, masks, strict=True)):
        if not isinstance(name, str) or name not in SCHEMES:
            raise configuration.refusal(f"has {name!r}, which is not supported", "normalization_schemes")
        scheme = SCHEMES[name]
        within = scheme == Z_SCORE and mask is True
        found.append(_ct(plans, str(number)) if scheme == CT else Normalisation(scheme, within))
    return tuple(found)


def _ct(plans: PlanValues, channel: str) -> Normalisation:
    key = "foreground_intensity_properties_per_channel"
    table = plans.part(key if key in plans.values else "foreground_intensity_properties_by_modality").part(channel)
    low, high = table.number("percentile_00_5"), table.number("percentile_99_5")
    if low > high:
        raise table.refusal("has a lower percentile above the upper one")
    return Normalisation(CT, False, table.number("mean"), table.number("std"), low, high)


def _resampling(configuration: PlanValues, key: str) -> Resampling:
    kind: str = configuration.choice(key, RESAMPLERS)
    if kind == NONE:
        return Resampling(NONE)
    settings = configuration.part(f"{key}_kwargs")
    settings.require_known(SPLINE_SETTINGS if kind == SPLINE else TORCH_SETTINGS)
    separate = settings.values.get("force_separate_z")
    if not (separate is None or isinstance(separate, bool)):
        raise settings.refusal("is neither true, false nor null", "force_separate_z")
    key = "separate_z_anisotropy_threshold"
    threshold = settings.number(key) if key in settings.values else ANISOTROPIC
    if kind == TORCH:
        if settings.values.get("mode", "linear") != "linear" or settings.values.get("aniso_axis_mode", "") not in (
            "", "nearest-exact",
        ):  # fmt: skip
            raise settings.refusal("asks for a way of resampling that is not supported", "mode")
        return Resampling(TORCH, 1, 0, separate, threshold)
    order = settings.integer("order", 0, MAX_ORDER)
    across = settings.integer("order_z", 0, MAX_ORDER) if "order_z" in settings.values else 0
    return Resampling(SPLINE, order, across, separate, threshold)
