"""`Save` in JupyterLab: files, clipboard and keyboard, and what is said where a page has none of them."""

from __future__ import annotations

import ast
import base64
import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from tests.browser.harness import Lab, NotebookPage, Theme

SETUP = """
import torch
torch.set_num_threads(1)
import ipywidgets
import interp_widgets as iw
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.widgets.views.saving import saving
entry = iw.zoo.load("digits")
session = iw.Session(entry.model, entry.examples[3].image, preprocess=entry.preprocess, class_names=entry.class_names)
view = AttributionView(session)
save = saving(view, "digits")
head = ipywidgets.HBox([save], layout={"overflow": "hidden", "height": "28px"})  # as in an Explorer's
ipywidgets.VBox([head, view])
"""
MENU = "document.querySelector('.iw-save-menu')"
STATUS = f"text => {MENU}.querySelector('[role=status]').textContent === text"
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
REFUSING = "() => { navigator.clipboard.write = () => Promise.reject(new DOMException('no', 'NotAllowedError')); }"
CLIPPED = "this page may not write to the clipboard (it takes https, and permission): "


def opened(lab: Lab, theme: Theme = "light") -> NotebookPage:
    notebook = lab.open([SETUP], theme=theme)
    notebook.run_all()
    notebook.wait_for_python("view.wait(1)")
    notebook.page.get_by_role("button", name="Save", exact=True).click()
    notebook.wait(f"{MENU}.matches(':popover-open')")
    return notebook


@pytest.fixture
def notebook(lab: Lab) -> NotebookPage:
    return opened(lab)


def choose(notebook: NotebookPage, entry: str) -> None:
    notebook.page.get_by_role("button", name=entry, exact=True).click()


def download(notebook: NotebookPage, entry: str, folder: Path) -> Path:
    with notebook.page.expect_download() as found:
        choose(notebook, entry)
    path = folder / found.value.suggested_filename
    found.value.save_as(path)
    notebook.wait(STATUS, f"saved as {path.name}")
    return path


def test_a_png_comes_as_a_file(notebook: NotebookPage, tmp_path: Path) -> None:
    path = download(notebook, "Download PNG", tmp_path)
    assert path.name == "digits-grad-cam-3.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width >= 1024
    sent = notebook.execute("import hashlib; print(hashlib.sha256(save.file('png')[1]).hexdigest(), end='')")
    assert sent == notebook.execute(f"print(hashlib.sha256(open({str(path)!r}, 'rb').read()).hexdigest(), end='')")


def test_an_svg_comes_as_a_file_that_the_browser_draws(notebook: NotebookPage, tmp_path: Path) -> None:
    path = download(notebook, "Download SVG", tmp_path)
    assert path.suffix == ".svg"
    address = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
    notebook.call(
        """async address => {
            const image = document.createElement('img');
            image.id = 'drawn';
            image.src = address;
            document.body.append(image);
            await image.decode();
        }""",
        address,
    )
    drawn = notebook.pixels("#drawn")[..., :3].astype(int)
    assert drawn.shape[1] == 512 + 24
    file = notebook.execute("import base64; print(base64.b64encode(save.file('png')[1]).decode(), end='')")
    sheet = Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB")
    size = 1024  # digits: 32 pixels, 32 times as large
    margin = (sheet.width - size) // 2
    middle = np.asarray(sheet)[600, margin + 512].astype(int)
    rows = drawn[12:-60, 12 + 256]
    assert np.abs(rows - middle).sum(axis=1).min() <= 6  # halved by the browser, between blocks of one colour
    bar = drawn[:, 12 + 4 : 12 + 508 : 36]
    assert (np.abs(bar[:, 0] - [68, 1, 84]).sum(axis=1) < 24).any()  # viridis begins


def test_the_picture_is_copied(notebook: NotebookPage) -> None:
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(notebook, "Copy picture")
    notebook.wait(STATUS, "picture copied")
    types, width = notebook.call(
        """async () => {
            const [item] = await navigator.clipboard.read();
            const bitmap = await createImageBitmap(await item.getType('image/png'));
            return [item.types, bitmap.width];
        }"""
    )
    assert types == ["image/png"]
    assert width >= 1024


def test_the_code_is_copied(notebook: NotebookPage) -> None:
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(notebook, "Copy code")
    notebook.wait(STATUS, "code copied")
    copied = notebook.call("async () => await navigator.clipboard.readText()")
    assert copied == ast.literal_eval(notebook.execute("session.code()"))
    assert not notebook.page.locator(".iw-save-code").is_visible()


@pytest.mark.parametrize("hindrance", [NO_CLIPBOARD, REFUSING], ids=["http", "refused"])
def test_without_a_clipboard_the_code_can_be_taken_by_hand_and_the_picture_as_a_file(
    notebook: NotebookPage, hindrance: str
) -> None:
    notebook.page.evaluate(hindrance)
    choose(notebook, "Copy picture")
    notebook.wait(STATUS, f"{CLIPPED}download the PNG")
    choose(notebook, "Copy code")
    notebook.wait(STATUS, f"{CLIPPED}copy the code from here")
    box = notebook.page.get_by_label("the code", exact=True)
    code = box.input_value()
    assert code.startswith("import interp_widgets as iw\n")
    assert box.evaluate("box => box === document.activeElement && box.readOnly")
    assert box.evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)") == code
    notebook.page.keyboard.press("Escape")
    notebook.wait("document.activeElement.textContent === 'Save'")


def test_the_keyboard_opens_chooses_and_comes_back(notebook: NotebookPage) -> None:
    page = notebook.page
    page.keyboard.press("Escape")
    notebook.wait(f"!{MENU}.matches(':popover-open')")
    assert page.evaluate("document.activeElement.textContent") == "Save"
    page.keyboard.press("Enter")
    notebook.wait("document.activeElement.textContent === 'Download PNG'")
    for name in ("Download SVG", "Copy picture", "Copy code"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == name
    with page.expect_download():
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
    notebook.wait(STATUS, "saved as digits-grad-cam-3.svg")
    assert page.evaluate("document.activeElement.textContent") == "Download SVG"
    page.keyboard.press("Escape")
    notebook.wait("document.activeElement.textContent === 'Save'")


def test_the_menu_is_seen_whole_though_its_box_hides_what_overflows(notebook: NotebookPage) -> None:
    for name in ("Download PNG", "Copy code"):
        is_on_top = notebook.page.get_by_role("button", name=name, exact=True).evaluate(
            """button => {
                const box = button.getBoundingClientRect();
                return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === button;
            }"""
        )
        assert is_on_top
    notebook.screenshot("save")


def test_what_cannot_be_saved_is_said(notebook: NotebookPage) -> None:
    notebook.execute("session.target = None")
    choose(notebook, "Download PNG")
    notebook.wait(f"{MENU}.querySelector('.iw-error')?.textContent.startsWith('there is nothing to save: no target')")


def test_without_a_kernel_nothing_is_offered_and_the_reason_is_said(notebook: NotebookPage) -> None:
    kernel = int(notebook.execute("import os; os.getpid()"))
    os.kill(kernel, signal.SIGKILL)
    notebook.wait(STATUS, "not connected: run the cell again to save its picture")
    assert notebook.page.locator(".iw-save-entry:disabled").count() == 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_open_menu(lab: Lab, theme: Theme) -> None:
    notebook = opened(lab, theme)
    notebook.page.evaluate(NO_CLIPBOARD)
    choose(notebook, "Copy code")
    notebook.wait(STATUS, f"{CLIPPED}copy the code from here")
    found = Axe().run(notebook.page, context={"include": [[".iw-save"]]})
    assert [f"{each['id']}: {each['help']}" for each in found.response["violations"]] == []
    notebook.screenshot(f"save-{theme}")
