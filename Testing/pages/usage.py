"""What is run for a line that says how a command is used: ``MODEL``, ``[--option N]`` and ``...`` stand for something.

Each line of a page has the commands that are run for it; together they give every option that the line names.
"""

from __future__ import annotations

MODEL = "model.mts.safetensors"
KNOWN = "Dataset201_KidneyCT Dataset202_LiverCT"
CHEST = "DATA/Dataset112_ChestXrayLungCHN"
FETUS = "DATA/Dataset113_FetalHeadUS"
SMALL = "--config small.toml --steps 4"

IMPORT = (
    "multitaskseg-trainer import-nnunet FOLDER -o MODEL --licence TEXT [--configuration C] [--plans P] [--trainer T] "
    "[--folds F...] [--name NAME] [--reference DATASET... [--held-out CASE...]] [--overwrite]"
)

USAGE: dict[str, tuple[str, ...]] = {
    # docs/command_line.md: multitaskseg
    "multitaskseg segment IMAGE... -o DIR [-m MODEL] [--task NAME|auto] [--region R R A A S S|ROI.mrk.json] "
    "[--whole-check] [--structures NAME...] [--thorough] [--device auto|cpu|cuda|mps] [--dicom-seg] [--overwrite] "
    "[--json]": (
        "multitaskseg segment scan.nii.gz -o plain",
        "multitaskseg segment scan.nii.gz -o no_series --dicom-seg",
        f"multitaskseg segment scan.nii.gz -o whole -m {MODEL} --task Dataset201_KidneyCT --region -9 0 -9 0 0 4 "
        "--whole-check --structures part1 --thorough --device cpu --overwrite --json",
    ),
    "multitaskseg check IMAGE... [-m MODEL] [--map DIR] [--device auto|cpu|cuda|mps] [--json] [--fail-on-ood]": (
        "multitaskseg check scan.nii.gz T1.nii.gz",
        f"multitaskseg check scan.nii.gz -m {MODEL} --map maps --device cpu --json",
        "multitaskseg check Foreign/imagesTr/case_00_0000.nii.gz -m mr3d --fail-on-ood",
    ),
    "multitaskseg segment --channel NAME=FILE... -o DIR -m MODEL": (
        "multitaskseg-trainer import-nnunet RESULTS -o two.mts.safetensors --licence MIT "
        "--reference Dataset217_BrainTumour",
        "multitaskseg segment --channel FLAIR=FLAIR.nii.gz --channel T1=T1.nii.gz -o channels -m two.mts.safetensors",
    ),
    "multitaskseg check --channel NAME=FILE... -m MODEL": (
        "multitaskseg check --channel FLAIR=FLAIR.nii.gz --channel T1=T1.nii.gz -m two.mts.safetensors",
    ),
    "multitaskseg cohort segment LIST_OR_FOLDER -o OUT -m MODEL [--address A] [--workers N] [--task NAME|auto] "
    "[--thorough] [--only PATTERN] [--json]": (
        f"multitaskseg cohort segment scans -o cohort -m {MODEL} --workers 1 --task auto --thorough --only '*.nii.gz' "
        "--json",
    ),
    "multitaskseg cohort check LIST_OR_FOLDER -o OUT -m MODEL": (
        f"multitaskseg cohort check list.csv -o checked -m {MODEL}",
    ),
    "multitaskseg drift OUT [--by date|scanner|site] [--since 2026-01-01] [--until 2026-12-31] [--alpha 0.05] "
    "[--fail-on-drift] [--json]": (
        "multitaskseg drift cohort",
        "multitaskseg drift cohort --by date --since 2026-01-01 --until 2026-12-31 --alpha 0.01 --fail-on-drift --json",
    ),
    "multitaskseg info MODEL [--json]": (f"multitaskseg info {MODEL}", f"multitaskseg info {MODEL} --json"),
    "multitaskseg info MODEL": (f"multitaskseg info {MODEL}",),
    "multitaskseg models [--json]": ("multitaskseg models", "multitaskseg models --json"),
    # docs/command_line.md: the trainer
    "multitaskseg-trainer verify DIR...": (f"multitaskseg-trainer verify {KNOWN}",),
    "multitaskseg-trainer train --data DIR... -o MODEL [--config FILE] [--steps N] [--minutes M] [--resume]": (
        f"multitaskseg-trainer train --data {KNOWN} -o trained.mts.safetensors --config small.toml --minutes 0.005",
        f"multitaskseg-trainer train --data {KNOWN} -o new.mts.safetensors {SMALL}",
        f"multitaskseg-trainer train --data {KNOWN} -o new.mts.safetensors --config small.toml --steps 6 --resume",
    ),
    "multitaskseg-trainer evaluate -m MODEL --data DIR... -o OUT [--split imagesTr|imagesTs] [--task auto|dataset] "
    "[--all-cases] [--pictures N]": (
        f"multitaskseg-trainer evaluate -m {MODEL} --data {KNOWN} -o evaluated",
        f"multitaskseg-trainer evaluate -m {MODEL} --data {KNOWN} -o every --split imagesTr --task dataset --all-cases "
        "--pictures 1",
    ),
    "multitaskseg-trainer reference -m MODEL [--data DIR...] [--images TASK=DIR...] [-o MODEL] "
    "[--variant composite|whitened|multilayer|paper] [--layers LAYER...] [--held-out CASE...] [--limits-only]": (
        f"multitaskseg-trainer reference -m {MODEL} --data {KNOWN} -o fitted.mts.safetensors --variant multilayer "
        "--layers encoder1",
        f"multitaskseg-trainer reference -m {MODEL} --data {KNOWN} -o limits.mts.safetensors --limits-only",
        f"multitaskseg-trainer reference -m {MODEL} --data Dataset202_LiverCT "
        "--images Dataset201_KidneyCT=Dataset201_KidneyCT/imagesTr -o images.mts.safetensors",
        "multitaskseg-trainer reference -m two.mts.safetensors --data Dataset217_BrainTumour "
        "--held-out case_00 case_01 -o held.mts.safetensors",
    ),
    "multitaskseg-trainer quality -m MODEL --data DIR... [-o MODEL] [--faults N] [--seed N]": (
        f"multitaskseg-trainer quality -m {MODEL} --data {KNOWN} -o judged.mts.safetensors --faults 1 --seed 0",
    ),
    "multitaskseg-trainer keep -m MODEL [--data DIR...] [--images TASK=DIR...] [--tasks TASK...] [--least-dice DICE] "
    "-o MODEL": (
        f"multitaskseg-trainer keep -m {MODEL} --data Dataset202_LiverCT --tasks Dataset202_LiverCT "
        "-o kept.mts.safetensors",
        f"multitaskseg-trainer keep -m {MODEL} --images Dataset201_KidneyCT=Dataset201_KidneyCT/imagesTr "
        "--tasks Dataset201_KidneyCT -o kept.mts.safetensors",
        f"multitaskseg-trainer keep -m {MODEL} --data {KNOWN} --least-dice 1 -o best.mts.safetensors",
    ),
    "multitaskseg-trainer precision -m MODEL --data DIR... [--foreign DIR...] [-o MODEL] [--precision P...] "
    "[--artefact-cases N]": (
        f"multitaskseg-trainer precision -m {MODEL} --data {KNOWN} --foreign Foreign -o in16.mts.safetensors "
        "--precision bfloat16 --artefact-cases 1",
    ),
    "multitaskseg-trainer calibrate -m MODEL --data DIR... [-o MODEL]": (
        f"multitaskseg-trainer calibrate -m {MODEL} --data {KNOWN} -o calibrated.mts.safetensors",
    ),
    "multitaskseg-trainer describe -m MODEL --data DIR... [-o MODEL]": (
        f"multitaskseg-trainer describe -m {MODEL} --data {KNOWN} -o described.mts.safetensors",
    ),
    "multitaskseg-trainer ood-benchmark -m MODEL... --in DIR... --ood DIR... -o OUT [--families FAMILY...] "
    "[--artefact-cases N] [--passes N] [--ensemble MODEL...] [--variant V] [--no-untrained] "
    "[--publish DIR --title TITLE]": (
        f"multitaskseg-trainer ood-benchmark -m {MODEL} --in {KNOWN} --ood Foreign -o benchmark "
        f"--families real left-out matched --artefact-cases 1 --passes 2 --ensemble {MODEL} --variant composite "
        "--no-untrained --publish published --title Small",
    ),
    "multitaskseg-trainer experiment localisation -m MODEL --data DIR... --ood DIR... -o FILE [--images N]": (
        f"multitaskseg-trainer experiment localisation -m {MODEL} --data {KNOWN} --ood Foreign -o places.json "
        "--images 1",
    ),
    "multitaskseg-trainer experiment p-value -m MODEL --data DIR... -o FILE [--publish DIR]": (
        f"multitaskseg-trainer experiment p-value -m {MODEL} --data {KNOWN} -o p.json --publish published",
    ),
    "multitaskseg-trainer experiment model-page -m MODEL... --results DIR [--evaluations METRICS...] -o PAGE": (
        "multitaskseg-trainer experiment model-page -m mr3d planar2d head_brain "
        "--results docs/results --evaluations docs/results/evaluation-2026-11-29-mr3d-told.json -o docs/models.md",
    ),
    "multitaskseg-trainer experiment calibration -m MODEL --data DIR... -o OUT [--ensemble MODEL...] [--passes N] "
    "[--dropout-rate R] [--mirror TASK...] [--seed N]": (
        f"multitaskseg-trainer experiment calibration -m {MODEL} --data {KNOWN} -o calibration --ensemble {MODEL} "
        "--passes 2 --dropout-rate 0.2 --mirror Dataset201_KidneyCT --seed 0",
    ),
    "multitaskseg-trainer experiment failure-detection -m MODEL... --data DIR... -o OUT [--snapshots MODEL...] "
    "[--kinds KIND...] [--passes N] [--looks] [--seed N] [--publish DIR --title TITLE]": (
        f"multitaskseg-trainer experiment failure-detection -m {MODEL} --data {KNOWN} -o failures --kinds gamma "
        "--passes 2 --looks --seed 0 --publish published --title Small",
        f"multitaskseg-trainer train --data {KNOWN} -o cycles.mts.safetensors --config cycles.toml --steps 4",
        f"multitaskseg-trainer experiment failure-detection -m cycles.mts.safetensors --data {KNOWN} -o snapshots "
        "--snapshots cycles.run/snapshots/cycles.snapshot1.mts.safetensors --kinds gamma",
    ),
    "multitaskseg-trainer experiment calibration-page METRICS... -o DIR": (
        "multitaskseg-trainer experiment calibration-page calibration/metrics.json -o published",
    ),
    "multitaskseg-trainer experiment multi-task --config FILE -o OUT [--data-root DIR] "
    "[--executor sequential|processes|ray] [--jobs N] [--address A] [--publish DIR] [--publish-cases]": (
        "multitaskseg-trainer experiment multi-task --config trainer/configs/multi_task/planar.toml -o pooled "
        "--data-root DATA --executor processes --jobs 2 --publish published --publish-cases",
    ),
    "multitaskseg-trainer pretrain --task segmentation|classification|self-supervised --data DIR... -o MODEL "
    "[--pretexts NAME...] [--config FILE] [--steps N] [--minutes M] [--resume]": (
        f"multitaskseg-trainer pretrain --task segmentation --data {KNOWN} -o pre1.mts.safetensors {SMALL}",
        f"multitaskseg-trainer pretrain --task classification --data {KNOWN} -o pre2.mts.safetensors {SMALL}",
        f"multitaskseg-trainer pretrain --task self-supervised --data {KNOWN} -o pre3.mts.safetensors "
        "--pretexts denoising --config small.toml --minutes 0.005",
        f"multitaskseg-trainer pretrain --task self-supervised --data {KNOWN} -o pre3.mts.safetensors "
        "--pretexts denoising --config small.toml --minutes 0.01 --resume",
    ),
    "multitaskseg-trainer finetune -m MODEL --data DIR... -o MODEL [--labelled N] "
    "[--strategy all|frozen-encoder|last-layers|gradual] [--scope all|encoder] [--config FILE] [--steps N] "
    "[--minutes M] [--resume]": (
        f"multitaskseg-trainer finetune -m {MODEL} --data {KNOWN} -o tuned.mts.safetensors --labelled 4 "
        f"--strategy gradual --scope encoder {SMALL}",
        f"multitaskseg-trainer finetune -m {MODEL} --data {KNOWN} -o tuned.mts.safetensors --labelled 4 "
        "--strategy gradual --scope encoder --config small.toml --minutes 0.005 --resume",
        f"multitaskseg-trainer finetune -m {MODEL} --data {KNOWN} -o whole.mts.safetensors {SMALL}",
    ),
    "multitaskseg-trainer average -m MODEL --start MODEL [--share S] [--data DIR...] [--images TASK=DIR...] -o MODEL": (
        f"multitaskseg-trainer average -m whole.mts.safetensors --start {MODEL} --share 0.75 --data {KNOWN} "
        "--images Dataset201_KidneyCT=Dataset201_KidneyCT/imagesTr -o between.mts.safetensors",
    ),
    "multitaskseg-trainer two-stage --data TARGET [--unlabelled DIR...] -o MODEL [--labelled N...] [--seeds K] "
    "[--config FILE] [--executor sequential|processes|ray] [--jobs N] [--address A] [--publish DIR]": (
        f"multitaskseg-trainer two-stage --data {CHEST} --unlabelled {FETUS} -o student.mts.safetensors --labelled 4 "
        "--seeds 1 --config trainer/configs/two_stage/planar.toml --executor processes --jobs 2 --publish published",
    ),
    "multitaskseg-trainer transfer --config FILE -o OUT [--data-root DIR] [--executor sequential|processes|ray] "
    "[--jobs N] [--address A] [--publish DIR]": (
        "multitaskseg-trainer transfer --config trainer/configs/transfer/planar.toml -o moved --data-root DATA "
        "--executor processes --jobs 2 --publish published",
    ),
    "multitaskseg-trainer recommend --data TARGET --models MODEL... [--images N] [-o OUT]": (
        f"multitaskseg-trainer recommend --data Dataset201_KidneyCT --models {MODEL} --images 4 -o recommended",
    ),
    "multitaskseg-trainer import-nnunet FOLDER": ("multitaskseg-trainer import-nnunet RESULTS",),
    IMPORT: (
        "multitaskseg-trainer import-nnunet RESULTS -o imported.mts.safetensors --licence 'CC BY 4.0' "
        "--configuration 3d_fullres --plans nnUNetPlans --trainer nnUNetTrainer --folds 0 --name Tiny "
        "--reference Dataset217_BrainTumour --held-out case_00 case_01 --overwrite",
    ),
    "multitaskseg-trainer info MODEL": (f"multitaskseg-trainer info {MODEL}",),
    # Other pages
    "multitaskseg-trainer precision -m MODEL --data DATASET... --foreign FOLDER...": (
        f"multitaskseg-trainer precision -m {MODEL} --data {KNOWN} --foreign Foreign -o in16.mts.safetensors "
        "--precision bfloat16",  # named: not every processor has instructions for one
    ),
    "python -m Testing.hostile.campaign --only NAME": (
        "python -m Testing.hostile.campaign --share 0.001 --only versions --inputs 'read: version-1'",
    ),
    "python -m Testing.slicer.pictures -o DIR --image IMAGE [--model MODEL]": (
        f"python -m Testing.slicer.pictures -o drawn --image scan.nii.gz --model {MODEL}",
    ),
    "python -m trainer.phantom.sample DIR": ("python -m trainer.phantom.sample samples",),
    "python -m Testing.slicer.screenshots --heart IMAGE": (
        "python -m Testing.slicer.screenshots --heart scan.nii.gz -o pictures",
    ),
    "python -m Testing.bench.head.sheet HEADS -m MODEL --task TASK -o heads.png": (
        "python -m Testing.bench.head.sheet . -m head_brain.mts.safetensors --task label_maps_head_brain -o heads.png",
    ),
    "python -m Testing.bench.head.against_labels HEADS -m MODEL --task TASK": (
        "python -m Testing.bench.head.against_labels . -m head_brain.mts.safetensors --task label_maps_head_brain",
    ),
    "python -m Testing.bench.head.acceptance -m MODEL --known DIR... --foreign DIR... -o FILE": (
        "python -m Testing.bench.head.acceptance -m head_brain.mts.safetensors --known rest "
        "--foreign Dataset104_BrainTissueT1 -o accepted.json",
    ),
    "python -m Testing.bench.head.tissue_slabs DATASET -m MODEL --task TASK": (
        "python -m Testing.bench.head.tissue_slabs Dataset104_BrainTissueT1 -m head_brain.mts.safetensors "
        "--task label_maps_head_brain",
    ),
    "python -m Testing.bench.head.known_heads HEADS -o known --kept-back rest": (
        "python -m Testing.bench.head.known_heads . -o known --kept-back rest",
    ),
    "python -m trainer pretrain --task self-supervised --data DIR... -o start.mts.safetensors --steps 2000": (
        f"python -m trainer pretrain --task self-supervised --data {KNOWN} -o start.mts.safetensors {SMALL}",
    ),
    "python -m trainer finetune -m start.mts.safetensors --data DIR... -o MODEL [--labelled N] [--strategy S] "
    "[--scope encoder]": (
        f"python -m trainer finetune -m start.mts.safetensors --data {KNOWN} -o m.mts.safetensors --labelled 4 "
        f"--strategy last-layers --scope encoder {SMALL}",
    ),
    "python -m trainer two-stage --data TARGET --unlabelled DIR... -o MODEL --labelled 5 10 20 --seeds 3 "
    "--config FILE": (
        f"python -m trainer two-stage --data {CHEST} --unlabelled {FETUS} -o m.mts.safetensors --labelled 4 --seeds 1 "
        "--config trainer/configs/two_stage/planar.toml",
    ),
    "python -m trainer recommend --data TARGET --models MODEL_OR_FOLDER... [-o OUT]": (
        "python -m trainer recommend --data Dataset201_KidneyCT --models . -o recommended",
    ),
    "python -m Testing.bench.region_cost IMAGE TASK": (
        "python -m Testing.bench.region_cost T1.nii.gz Dataset104_BrainTissueT1",
    ),
    "python -m Testing.bench.surface_volume LABELS...": ("python -m Testing.bench.surface_volume labels.nii.gz",),
}
