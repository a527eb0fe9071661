import sys
def test_look(lab):
    page = lab.open(["import interp_widgets as iw\nexplorer = iw.explore('scenes')\nexplorer"])
    page.run_all()
    page.wait("() => document.querySelectorAll('.iw-picture canvas').length > 1")
    page.wait_for_python("explorer.wait(1)") 
    page.wait("() => document.querySelector('.iw-status')?.textContent.length > 5")
    print(page.screenshot("look-light"))
    page.set_theme("dark")
    print(page.screenshot("look-dark"))
