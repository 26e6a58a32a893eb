"""STAND-INS for the parts of Slicer that slicer-core lacks: Qt, CTK and MRML widgets, and Slicer's Python classes.

What passes on them shows that the modules' code is coherent: names in the .ui files, connections, enabling, the flow of
a run. It does not show how Slicer's own widgets behave, nor that Slicer loads the modules.
"""
