"""What is where on the Explorer, the keys of each part, what colours mean, and the words it uses."""

from __future__ import annotations

from interp_widgets.widgets.kit.help import Help
from interp_widgets.words import say

__all__ = ["explorer_help", "explorer_topics"]


def explorer_help() -> Help:
    """The help of the Explorer, as a button that opens it."""
    return Help(label=say("Help"), topics=explorer_topics(), layout={"flex": "0 0 auto"})


def explorer_topics() -> list[tuple[str, str]]:
    """Title and text of each topic, in the order of the page; the words it uses come last."""
    return [*_looked_at(), *_worked_with(), *_meanings()]


def _looked_at() -> list[tuple[str, str]]:
    return [
        (
            say("Inputs, at the top"),
            say(
                "Choose a picture or open one of your own; it can also be dropped or pasted on the map. The menu "
                "beside it says how it is prepared for the model, and changes that. The model runs once on it; all "
                "that is shown comes from that one recorded pass. The cross on a small picture, or Delete, takes it "
                "out of the list.\nKeys: arrows choose, Home and End go to the ends."
            ),
        ),
        (
            say("Map, on the left"),
            say(
                "The input with the attribution of the chosen method over it. Below it: opacity, and display for "
                "smoothing and the end of the colours. A click shows it alone on the screen; there the wheel zooms "
                "and dragging moves it.\nKeys: arrows move a cross, whose value is said; Enter shows it alone, Escape "
                "brings it back; + and - zoom, 0 shows all of it."
            ),
        ),
        (
            say("Prediction"),
            say(
                "What the model says, the likeliest class first. The class chosen here is explained; the menu above "
                "explains it against another, several together, or a channel.\nKeys: arrows choose, letters search, "
                "Enter takes what was found."
            ),
        ),
        (
            say("Channels, on the right"),
            say(
                "What each channel of the layer does, in the order of the menu; the chosen one is shown large. Each "
                "small picture has its own scale.\nKeys: arrows choose, Page Up and Page Down turn the page."
            ),
        ),
    ]


def _worked_with() -> list[tuple[str, str]]:
    return [
        (
            say("Parameters"),
            say(
                "What the method can be told; point at a control to read what it does. Methods that run the model many "
                "times get better while you watch; Stop keeps what is there."
            ),
        ),
        (
            say("Network, below"),
            say(
                "The layers as blocks, as a slider, as a tree and, under Summary, as a table that a click on a title "
                "sorts. Each of the four chooses the layer. Activations shows its values. Edits turns the "
                "chosen channel up, down or off, and says what the model says then. Wide blocks have many "
                "channels, tall ones a fine resolution. The button beside the tabs gives them the width of the page."
                "\nKeys: in tree and table up and down walk, left and right "
                "close and open, Enter chooses, letters search; on the blocks left and right choose, Enter opens, "
                "Backspace closes, Escape leaves."
            ),
        ),
        (
            say("Profile and Weights, among the tabs"),
            say(
                "Profile has a box for each layer, in the order in which they ran: where signals vanish or explode, "
                "and which units never fire; of an activation function also its curve, over the values it was given. "
                "Weights has a row for each parameter, and the filters of the layer as pictures. Both choose the "
                "layer.\nKeys: in the profile arrows choose, Page Up and Page Down go further; tables are as above."
            ),
        ),
        (
            say("Status line, below the inputs"),
            say(
                "What is shown, how sure it is and what it took; or what went wrong and what to do. A button beside it "
                "is the way out in one click. Save, at the top, takes the picture and the code that makes it home."
            ),
        ),
    ]


def _meanings() -> list[tuple[str, str]]:
    return [
        (
            say("Colours"),
            say(
                "Two colours around white: red, as usual, speaks for the target, blue against it, white is zero. From "
                "dark to bright: the brighter, the more a place counts, and nothing speaks against. The bar under the "
                "map says which value each colour is; values beyond its ends have the colour of the end."
            ),
        ),
        (
            say("Words"),
            say(
                "Target: the score that is explained, such as that of a class.\nLayer: a part of the model, by its "
                "name there; its output has channels.\nChannel: one feature that a layer computes at every place.\n"
                "Attribution: how much each place counts for the target, as a method defines it.\nBaseline: what the "
                "input is compared with.\nScore: the model's output before it becomes a probability."
            ),
        ),
        (
            say("More"),
            say(
                "Everything here is also a trait in Python: explorer.session.layer = 'layer2' moves the widget. "
                "help(iw.GradCAM) has the formula and the paper of a method."
            ),
        ),
    ]
