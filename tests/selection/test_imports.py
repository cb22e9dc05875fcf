"""The same selection serves videos and images: it cannot tell them apart, since it never loads what reads them."""

import json
import subprocess
import sys

CODE = """
import importlib, json, pkgutil, sys
import vidsemi.selection
names = [module.name for module in pkgutil.walk_packages(vidsemi.selection.__path__, "vidsemi.selection.")]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sorted(sys.modules)]))
"""


def test_the_selection_loads_neither_torch_nor_media():
    output = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout
    names, loaded = json.loads(output)
    assert {"vidsemi.selection.select", "vidsemi.selection.scan", "vidsemi.selection.topk"} <= set(names) <= set(loaded)
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"torch", "torchvision", "av", "PIL", "decord", "torchcodec", "cv2"}
    ours = {name.split(".")[1] for name in loaded if name.startswith("vidsemi.")}
    assert not ours & {"media", "models", "corpus", "engine", "stages", "config"}
