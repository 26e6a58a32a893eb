"""What the Extensions Index, Qt and translators need: a sound entry, .ui files that fit the code, plain texts."""

from __future__ import annotations

import ast
import json
import re
import struct
import xml.etree.ElementTree as ElementTree

import pytest

from Testing.house.source_tree import REPOSITORY, tracked_files

MODULES = ("MultiTaskSeg", "OODCheck")
CATALOGUE = "MultiTaskSeg/MultiTaskSegLib/catalogue"
LOOP = "MultiTaskSeg/MultiTaskSegLib/loop"
PARTS = {
    "MultiTaskSeg": (
        "MultiTaskSeg/MultiTaskSegLib/panel/*.py",
        f"{CATALOGUE}/model_choice.py",
        f"{LOOP}/correction_bar.py",
    ),
    "OODCheck": ("OODCheck/OODCheckLib/*.py", f"{CATALOGUE}/model_choice.py"),
    "ModelList": (f"{CATALOGUE}/model_dialog.py",),
    "ImportForm": (f"{CATALOGUE}/import_form.py",),
    "LearnPanel": (f"{LOOP}/dataset_view.py", f"{LOOP}/training_view.py"),
}
FRAMES = ("qMRMLWidget", "QDialog", "QWidget", "ctkCollapsibleButton")
LIBRARY_WIDGET_CLASSES = {
    "QLabel",
    "QPushButton",
    "QComboBox",
    "QLineEdit",
    "QSpinBox",
    "QCheckBox",
    "QProgressBar",
    "QListWidget",
    "QTableWidget",
}


def ui_tree(name: str) -> ElementTree.ElementTree:
    folder = name if name in MODULES else MODULES[0]
    return ElementTree.parse(REPOSITORY / folder / "Resources" / "UI" / f"{name}.ui")


def module_source(module: str) -> str:
    return (REPOSITORY / module / f"{module}.py").read_text(encoding="utf-8")


def named_widgets(name: str) -> set[str]:
    """Names of widgets in the code of a panel or a window: in the module, and in the parts that it consists of."""
    sources = [module_source(name)] if name in MODULES else []
    parts = [path for pattern in PARTS[name] for path in tracked_files(pattern, also_new=True)]
    sources += [path.read_text(encoding="utf-8") for path in parts if path.is_file()]
    return {name for source in sources for name in re.findall(r"(?:self\.|(?<![.\w]))ui\.(\w+)", source)}


def bad_translations(source: str) -> list[int]:
    """Lines where ``_()`` or ``translate()`` gets anything but plain string literals."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
            literal = all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in node.args)
            if not literal or not node.args:
                lines.append(node.lineno)
    return lines


def test_the_index_entry_follows_the_schema_and_agrees_with_cmake():
    entry = json.loads((REPOSITORY / "MultiTaskSeg.json").read_text(encoding="utf-8"))
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    allowed = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"}
    allowed |= {"build_subdirectory", "dicom_support_rule", "enabled", "tier"}
    assert set(entry) <= allowed
    assert entry["category"] == "Segmentation"
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"set\(EXTENSION_DEPENDS (.*?)\)", cmake).group(1).split() == entry["build_dependencies"]
    assert re.search(r"project\((\w+)\)", cmake).group(1) == "MultiTaskSeg"
    homepage = re.search(r'set\(EXTENSION_HOMEPAGE "(.*?)"\)', cmake).group(1)
    assert entry["scm_url"] == f"{homepage}.git"


def test_the_extension_says_what_it_is_found_by():
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    keywords = re.findall(r'"(.*?)"', re.search(r"set\(EXTENSION_KEYWORDS (.*?)\)", cmake).group(1))
    assert {"segmentation", "uncertainty", "out-of-distribution", "quality control", "deep learning"} == set(keywords)
    recommended = re.search(r"set\(EXTENSION_RECOMMENDS (.*?)\)", cmake).group(1).split()
    required = re.search(r"set\(EXTENSION_DEPENDS (.*?)\)", cmake).group(1).split()
    assert recommended == ["SegmentEditorExtraEffects"]
    assert not set(recommended) & set(required)


def test_the_rule_for_dicom_names_the_modalities_that_released_models_know():
    rule = json.loads((REPOSITORY / "MultiTaskSeg.json").read_text(encoding="utf-8"))["dicom_support_rule"]
    terms = rule.split(" or ")
    assert all(re.fullmatch(r"Modality == '[A-Z]{2}'", term) for term in terms)
    # MR, CT, ultrasound and X-ray, plain and digital.
    assert {term[-3:-1] for term in terms} == {"MR", "CT", "US", "CR", "DX"}


@pytest.mark.parametrize(
    ("icon", "size"),
    [
        ("MultiTaskSeg/Resources/Icons/MultiTaskSeg.png", 128),
        ("OODCheck/Resources/Icons/OODCheck.png", 128),
        ("Resources/Icons/MultiTaskSeg.png", 256),
    ],
)
def test_icons_are_png_files_of_the_usual_size(icon, size):
    header = (REPOSITORY / icon).read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", header[16:24]) == (size, size)


def test_the_images_that_the_extension_page_names_exist():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    named = re.findall(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/main/([^\"\s]+)", text)
    assert len(named) == 3
    assert [path for path in named if not (REPOSITORY / path).is_file()] == []


@pytest.mark.parametrize("module", MODULES)
def test_ctest_runs_the_self_test_and_the_generic_tests_of_a_module(module):
    text = (REPOSITORY / module / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"slicerMacroBuildScriptedModule\([^)]*\bWITH_GENERIC_TESTS\b", text)
    assert re.search(r"if\(BUILD_TESTING\)\s+slicer_add_python_unittest\(SCRIPT \$\{MODULE_NAME\}\.py\)", text)
    tests = next(n for n in ast.parse(module_source(module)).body if getattr(n, "name", "") == f"{module}Test")
    assert [n for n in tests.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]


def test_requirements_leave_out_what_slicer_and_the_pytorch_extension_bring():
    text = (REPOSITORY / "MultiTaskSeg" / "Resources" / "requirements.txt").read_text(encoding="utf-8")
    wanted = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+>=[0-9.]+", line) for line in wanted)
    names = {line.split(">=")[0].lower() for line in wanted}
    assert not names & {"torch", "torchvision", "numpy", "scipy", "simpleitk"}


@pytest.mark.parametrize("name", PARTS)
def test_every_widget_that_the_code_names_is_in_the_ui_file_and_every_control_is_used(name):
    used = named_widgets(name)
    widgets = {widget.get("name"): widget for widget in ui_tree(name).iter("widget")}
    assert used <= set(widgets)
    bound = {
        name for name, widget in widgets.items() if widget.find("property[@name='SlicerParameterName']") is not None
    }
    silent = {
        name for name, widget in widgets.items() if widget.get("class") in FRAMES or name.endswith("Label")
    } - used
    assert set(widgets) - used - bound - silent == set()


@pytest.mark.parametrize("module", MODULES)
def test_the_parameters_that_the_ui_file_names_exist(module):
    named = {
        element.findtext("string")
        for element in ui_tree(module).iter("property")
        if element.get("name") == "SlicerParameterName"
    }
    tree = ast.parse(module_source(module))
    wrapper = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == f"{module}ParameterNode")
    declared = {node.target.id for node in wrapper.body if isinstance(node, ast.AnnAssign)}
    assert named
    assert named <= declared


@pytest.mark.parametrize("module", MODULES)
def test_the_ui_file_declares_its_custom_widgets_and_hands_the_scene_to_each_mrml_widget(module):
    tree = ui_tree(module)
    top = tree.find("widget")
    assert top.get("class") == "qMRMLWidget"
    custom = {element.findtext("class") for element in tree.iter("customwidget")}
    used = {widget.get("class") for widget in tree.iter("widget")}
    assert used - LIBRARY_WIDGET_CLASSES == custom
    receivers = {connection.findtext("receiver") for connection in tree.iter("connection")}
    mrml = {w.get("name") for w in tree.iter("widget") if w.get("class", "").startswith("qMRML")} - {top.get("name")}
    assert receivers == mrml


@pytest.mark.parametrize("module", MODULES)
def test_technical_texts_of_the_ui_file_are_not_offered_to_translators(module):
    for element in ui_tree(module).iter("property"):
        if element.get("name") == "SlicerParameterName":
            assert element.find("string").get("notr") == "true"


def test_texts_for_translation_are_plain_literals():
    wrong = {
        path.name: lines
        for path in tracked_files("MultiTaskSeg/*.py", "OODCheck/*.py")
        if path.is_file() and (lines := bad_translations(path.read_text(encoding="utf-8")))
    }
    assert wrong == {}


@pytest.mark.parametrize("call", ['_(f"{n} files")', '_("a" + b)', "_(text)", "_()"])
def test_a_text_that_cannot_be_translated_would_be_noticed(call):
    assert bad_translations(call) == [1]


def test_nothing_heavy_is_imported_when_slicer_starts():
    heavy = {"torch", "numpy", "SimpleITK", "scipy", "safetensors", "matplotlib"}
    for module in MODULES:
        tree = ast.parse(module_source(module))
        names = {
            alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        } | {(node.module or "").split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not names & heavy


def test_the_names_of_widgets_follow_what_they_are():
    endings = {"QPushButton": "Button", "QComboBox": "ComboBox", "QCheckBox": "CheckBox", "QLabel": "Label"}
    for module in MODULES:
        for widget in ui_tree(module).iter("widget"):
            assert widget.get("name").endswith(endings.get(widget.get("class"), ""))


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*/Resources/UI/*.ui")), ids=lambda path: path.stem)
def test_no_two_widgets_lie_in_one_cell_of_a_layout(path):
    for layout in ElementTree.parse(path).iter("layout"):
        cells = []
        for item in layout.findall("item"):
            if item.get("row") is not None:
                first = int(item.get("column", "0"))
                cells += [(item.get("row"), first + step) for step in range(int(item.get("colspan", "1")))]
        assert len(cells) == len(set(cells)), f"two widgets in one cell of {layout.get('name')}"
